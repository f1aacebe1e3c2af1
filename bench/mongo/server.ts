import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { findMongo } from '../../test/servers/available.ts'
import type { MongoPlace } from '../gateway.ts'
import { type BenchProcess, freePort, startProgram, whenListening } from '../process.ts'

export interface OpenedMongo {
  place: MongoPlace
  close(): Promise<void>
}

/** What the figures are of. */
export function nameOfMongo(): string | undefined {
  const found = findMongo()
  if (found === undefined) return undefined
  return 'url' in found ? 'the server of TEST_MONGODB_URL' : 'FerretDB over SQLite'
}

/** A database on the server of TEST_MONGODB_URL, or on a FerretDB of its own on the core of the load; undefined if there is neither. */
export async function openMongo(folder: string): Promise<OpenedMongo | undefined> {
  const found = findMongo()
  if (found === undefined) return undefined
  const database = `gateway_bench_${process.pid}`
  if ('url' in found) {
    const place = { url: found.url, database }
    return { place, close: () => dropDatabase(place) }
  }
  const port = await freePort()
  const data = await mkdtemp(join(folder, 'ferretdb-'))
  const args = [`127.0.0.1:${port}`, data]
  const env = { PATH: process.env.PATH ?? '', DO_NOT_TRACK: '1' }
  const server: BenchProcess = startProgram({ program: found.program, args, core: 'load', env })
  await whenListening(server, port)
  return { place: { url: `mongodb://127.0.0.1:${port}/`, database }, close: server.stop }
}

async function dropDatabase({ url, database }: MongoPlace): Promise<void> {
  const client = new MongoClient(url)
  await client.db(database).dropDatabase()
  await client.close()
}
