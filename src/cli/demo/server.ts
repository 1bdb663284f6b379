/**
 * The demo's server: HTTP, DNS, and a pair of TCP ports for bulk transfer. It notes the source address of everything that
 * reaches it and tells, and forgets, at GET /seen.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createServer as createHttpServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { serveDns } from './dns.js'

export const HTTP_PORT = 80
export const DNS_PORT = 53
/** Takes what is sent until the end of the stream, then answers with the number of bytes. */
export const SINK_PORT = 5001
/** Sends zeros until the peer closes. */
export const SOURCE_PORT = 5002
export const PAYLOAD_BYTES = 32 << 20

const listen = async (server: Server, port: number): Promise<void> => {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '0.0.0.0', resolve)
  })
}

const sha256Of = async (request: IncomingMessage): Promise<string> => {
  const hash = createHash('sha256')
  for await (const chunk of request) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

const takeAll = (socket: Socket): void => {
  let bytes = 0
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => { bytes += chunk.length })
  socket.on('end', () => socket.end(String(bytes)))
}

const giveForEver = (socket: Socket): void => {
  const zeros = Buffer.alloc(1 << 20)
  const more = (): void => {
    while (!socket.destroyed && socket.write(zeros));
  }
  socket.on('error', () => {})
  socket.on('drain', more)
  more()
}

/** Listens; resolves when everything does. The process then serves until it is killed. */
export const serve = async (): Promise<void> => {
  const seen = new Set<string>()
  const note = (address: string | undefined): void => {
    if (address !== undefined) seen.add(address)
  }
  const payload = randomBytes(PAYLOAD_BYTES)
  const sha256 = createHash('sha256').update(payload).digest('hex')
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method === 'POST') response.end(await sha256Of(request))
    else if (request.url === '/payload') response.writeHead(200, { 'x-sha256': sha256, 'content-length': payload.length }).end(payload)
    else if (request.url === '/seen') {
      response.end(JSON.stringify([...seen]))
      seen.clear()
    } else response.end(`hello ${request.socket.remoteAddress}\n`)
  }
  const http = createHttpServer((request, response) => {
    note(request.socket.remoteAddress)
    answer(request, response).catch(() => response.destroy())
  })
  await listen(http, HTTP_PORT)
  await serveDns(DNS_PORT, ({ address }) => note(address))
  for (const [port, talk] of [[SINK_PORT, takeAll], [SOURCE_PORT, giveForEver]] as const) {
    await listen(createServer({ allowHalfOpen: true }, (socket) => {
      note(socket.remoteAddress)
      talk(socket)
    }), port)
  }
}
