package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	headerLength = 16
	maxLength    = 48_000_000
	opMsg        = 2013
	dialWait     = 10 * time.Second
)

// In MongoDB an update of one document is atomic. FerretDB reads the document, changes it and writes it back, and two
// updates that meet there lose one of the two. So writes go one at a time, each until its reply is there.
var turn sync.Mutex

// serveInTurn passes messages between clients and the server behind the socket.
func serveInTurn(listener net.Listener, socket string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close()
			server, err := dial(socket)
			if err != nil {
				return
			}
			defer server.Close()
			for exchange(client, server) == nil {
			}
		}()
	}
}

// dial waits for the server, which begins to listen a moment after this process.
func dial(socket string) (net.Conn, error) {
	for end := time.Now().Add(dialWait); ; time.Sleep(10 * time.Millisecond) {
		server, err := net.Dial("unix", socket)
		if err == nil || time.Now().After(end) {
			return server, err
		}
	}
}

// exchange passes one request and its reply.
func exchange(client, server net.Conn) error {
	request, err := readMessage(client)
	if err != nil {
		return err
	}
	reply, err := ask(server, request)
	if err != nil {
		return err
	}
	_, err = client.Write(reply)
	return err
}

func ask(server net.Conn, request []byte) ([]byte, error) {
	if isWrite(request) {
		turn.Lock()
		defer turn.Unlock()
	}
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	return readMessage(server)
}

func readMessage(from net.Conn) ([]byte, error) {
	header := make([]byte, headerLength)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	length := int(binary.LittleEndian.Uint32(header))
	if length < headerLength || length > maxLength {
		return nil, errors.New("not a message of the MongoDB protocol")
	}
	message := append(header, make([]byte, length-headerLength)...)
	_, err := io.ReadFull(from, message[headerLength:])
	return message, err
}

// isWrite tells by the name of the command: the first member of the body, behind header, flags, section kind, length and type.
func isWrite(message []byte) bool {
	const name = headerLength + 4 + 1 + 4 + 1
	if len(message) <= name || binary.LittleEndian.Uint32(message[12:]) != opMsg {
		return false
	}
	for end := name; end < len(message); end++ {
		if message[end] == 0 {
			return writes[string(message[name:end])]
		}
	}
	return false
}

var writes = map[string]bool{
	"insert": true, "update": true, "delete": true, "findAndModify": true,
	"create": true, "createIndexes": true, "drop": true, "dropDatabase": true, "dropIndexes": true,
}
