import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type RequestListener, type RequestOptions, type Server } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { TcpServer } from '../../../../src/stack/sockets/node/tcp-server.js'
import { type Pair, pattern, RIGHT, useLinks } from './support.js'

/** Node's HTTP server and client, over two stacks. */
describe('http over the stack', () => {
  const pair = useLinks()
  const servers: Server[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })

  const serve = async ({ right }: Pair, handler: RequestListener): Promise<{ listener: TcpServer; http: Server }> => {
    const http = createServer(handler)
    servers.push(http)
    const listener = right.createServer({ allowHalfOpen: true }, (socket) => http.emit('connection', socket)).listen(80)
    await once(listener, 'listening')
    return { listener, http }
  }

  /** An agent whose connections are the stack's. */
  const agentOf = ({ left }: Pair, keepAlive: boolean): Agent => Object.assign(new Agent({ keepAlive, maxSockets: 4 }), { createConnection: left.connect })

  const get = async (agent: Agent, path: string, options: RequestOptions = {}, body?: Readable): Promise<IncomingMessage> => {
    const asked = request({ host: RIGHT, port: 80, path, agent, ...options })
    const answered = once(asked, 'response') as Promise<[IncomingMessage]>
    if (body === undefined) asked.end()
    else await pipeline(body, asked)
    return (await answered)[0]
  }

  it('answers requests, one connection each', async () => {
    const both = pair()
    const { listener } = await serve(both, (asked, answer) => {
      answer.setHeader('x-client', `${asked.socket.remoteAddress}`)
      answer.end(`you asked for ${asked.url}`)
    })
    let connections = 0
    listener.on('connection', () => connections++)
    const agent = agentOf(both, false)
    for (const path of ['/a', '/b', '/c']) {
      const answer = await get(agent, path)
      expect([answer.statusCode, answer.headers['x-client'], await text(answer)]).toEqual([200, '10.0.0.1', `you asked for ${path}`])
    }
    expect(connections).toBe(3)
  })

  it('keeps connections alive for further requests', async () => {
    const both = pair()
    const { listener } = await serve(both, (asked, answer) => answer.end(asked.url))
    let connections = 0
    listener.on('connection', () => connections++)
    const agent = agentOf(both, true)
    for (let number = 0; number < 100; number++) expect(await text(await get(agent, `/${number}`))).toBe(`/${number}`)
    expect(connections).toBe(1)
    const answers = await Promise.all(Array.from({ length: 200 }, async (_, number) => text(await get(agent, `/${number}`))))
    expect(answers).toEqual(Array.from({ length: 200 }, (_, number) => `/${number}`))
    expect(connections).toBeLessThanOrEqual(4)
    agent.destroy()
    listener.close()
    await once(listener, 'close')
  })

  it('carries large bodies both ways', async () => {
    const both = pair()
    await serve(both, (asked, answer) => void pipeline(asked, answer))
    const body = pattern(8 << 20)
    const hash = createHash('sha256')
    let length = 0
    const answer = await (async () => {
      const asked = request({ host: RIGHT, port: 80, method: 'POST', agent: agentOf(both, false) })
      const answered = once(asked, 'response') as Promise<[IncomingMessage]>
      void pipeline(Readable.from([body.subarray(0, 100), body.subarray(100, 5 << 20), body.subarray(5 << 20)]), asked)
      return (await answered)[0]
    })()
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      hash.update(chunk)
      length += chunk.length
    }
    expect([length, hash.digest('hex')]).toEqual([body.length, createHash('sha256').update(body).digest('hex')])
  }, 30_000)

  it('tells the client when the server hangs up in the midst of an answer', async () => {
    const both = pair()
    await serve(both, (asked, answer) => {
      answer.writeHead(200, { 'content-length': 1000 })
      answer.write('only this')
      setImmediate(() => asked.socket.destroy())
    })
    const answer = await get(agentOf(both, false), '/')
    await expect(text(answer)).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  it('ends idle connections after the server\'s time', async () => {
    const both = pair()
    const { http, listener } = await serve(both, (_, answer) => answer.end('x'))
    http.keepAliveTimeout = 20
    const agent = agentOf(both, true)
    await text(await get(agent, '/'))
    listener.close()
    await once(listener, 'close')
    agent.destroy()
  })
})
