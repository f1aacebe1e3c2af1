// Command ferretdb serves the MongoDB wire protocol over SQLite, for tests that need a real server where no mongod can be had.
//
// Usage: ferretdb <listen address> <folder>
package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: ferretdb <listen address> <folder>")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A relative path keeps the address of the socket short, however deep the folder is.
	if err := os.Chdir(os.Args[2]); err != nil {
		log.Fatal(err)
	}
	socket := "ferretdb.sock"
	// One that was killed leaves its socket behind.
	_ = os.Remove(socket)
	folder, err := filepath.Abs(".")
	if err != nil {
		log.Fatal(err)
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Handler:   "sqlite",
		SQLiteURL: "file:" + folder + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go serveInTurn(listener, socket)
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
