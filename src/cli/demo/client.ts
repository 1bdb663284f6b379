/** What the demo's client does. Each task is run in a process of its own and answers with one object. */
import { createHash, randomBytes } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { request } from 'node:http'
import type { Agent, IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { DNS_PORT, HTTP_PORT, PAYLOAD_BYTES, SINK_PORT, SOURCE_PORT } from './server.js'

/** Milliseconds of a bulk transfer before its bytes count. */
const RAMP = 200

interface Exchange {
  address: string
  path: string
  body?: Buffer
}

const exchange = async ({ address, path, body }: Exchange): Promise<{ response: IncomingMessage; content: Buffer }> => {
  const agent: Agent | false = false
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({ host: address, port: HTTP_PORT, path, method: body === undefined ? 'GET' : 'POST', agent, timeout: 10_000 }, resolve)
    asked.on('timeout', () => asked.destroy(new Error(`no answer from ${address} within 10 s`)))
    asked.on('error', reject)
    asked.end(body)
  })
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return { response, content: Buffer.concat(chunks) }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

export interface HttpResult {
  /** How the server saw the client. */
  greeting: string
  /** Requests that ran at once, each on a connection of its own, and were answered. */
  parallel: number
  answered: number
  bytes: number
  downloadIntact: boolean
  uploadIntact: boolean
}

export const http = async (address: string): Promise<HttpResult> => {
  const greeting = (await exchange({ address, path: '/' })).content.toString().trim()
  const parallel = 64
  const answers = await Promise.all(Array.from({ length: parallel }, () => exchange({ address, path: '/' })))
  const { response, content } = await exchange({ address, path: '/payload' })
  const body = randomBytes(PAYLOAD_BYTES)
  const uploaded = await exchange({ address, path: '/', body })
  return {
    greeting,
    parallel,
    answered: answers.filter((each) => each.content.toString().trim() === greeting).length,
    bytes: content.length + body.length,
    downloadIntact: sha256(content) === response.headers['x-sha256'],
    uploadIntact: sha256(body) === uploaded.content.toString(),
  }
}

export interface DnsResult {
  asked: number
  right: number
  /** A name that does not exist was answered with NXDOMAIN. */
  missingNoticed: boolean
}

export const dns = async (address: string): Promise<DnsResult> => {
  const resolver = new Resolver({ timeout: 1000, tries: 3 })
  resolver.setServers([`${address}:${DNS_PORT}`])
  const asked = 100
  const answers = await Promise.all(Array.from({ length: asked }, (_, host) =>
    resolver.resolve4(`host-${host}.example.test`).then(([first]) => first === `198.51.100.${host}`, () => false)))
  const missing = await resolver.resolve4('nobody.example.test').then(() => '', (error: NodeJS.ErrnoException) => error.code)
  return { asked, right: answers.filter(Boolean).length, missingNoticed: missing === 'ENOTFOUND' }
}

export interface BulkResult {
  /** Bits a second of payload, of one connection. */
  bitsPerSecond: number
}

/** Connections that share the time of a bulk transfer, one after the other. */
const CONNECTIONS = 3

/**
 * The median of several connections: where the scheduler happens to put sender and receiver can change the speed of one
 * by a factor of two.
 */
const median = (transfer: (address: string, seconds: number) => Promise<number>) =>
  async (address: string, seconds: number): Promise<BulkResult> => {
    const results: number[] = []
    for (let count = 0; count < CONNECTIONS; count++) results.push(await transfer(address, seconds / CONNECTIONS))
    return { bitsPerSecond: results.sort((a, b) => a - b)[CONNECTIONS >> 1] as number }
  }

/** Reads for so many seconds, into one buffer. */
const downloadOnce = async (address: string, seconds: number): Promise<number> => {
  let counting = 0
  let bytes = 0
  const took = await new Promise<number>((resolve, reject) => {
    const socket = connect({
      host: address,
      port: SOURCE_PORT,
      onread: {
        buffer: new Uint8Array(256 << 10),
        callback: (count) => {
          const now = performance.now()
          if (counting === 0) counting = now + RAMP
          if (now >= counting) bytes += count
          if (now < counting + seconds * 1000) return true
          socket.destroy()
          resolve(now - counting)
          return false
        },
      },
    })
    socket.on('error', reject)
    socket.on('end', () => reject(new Error('the server closed the connection')))
  })
  return bytes * 8000 / took
}

/** Writes for so many seconds; the server's count of bytes is what is reported. */
const uploadOnce = async (address: string, seconds: number): Promise<number> => {
  const zeros = Buffer.alloc(1 << 20)
  let start = 0
  const arrived = await new Promise<number>((resolve, reject) => {
    const socket = connect(SINK_PORT, address)
    let answer = ''
    const more = (): void => {
      do {
        if (performance.now() > start + seconds * 1000) return void socket.end()
      } while (socket.write(zeros))
    }
    socket.once('connect', () => {
      start = performance.now()
      more()
    })
    socket.on('drain', more)
    socket.on('data', (chunk: Buffer) => { answer += chunk.toString() })
    socket.on('end', () => resolve(Number(answer)))
    socket.on('error', reject)
  })
  return arrived * 8000 / (performance.now() - start)
}

export const download = median(downloadOnce)
export const upload = median(uploadOnce)

/** Source addresses that the server has seen since it was last asked. */
export const seen = async (address: string): Promise<string[]> => JSON.parse((await exchange({ address, path: '/seen' })).content.toString()) as string[]
