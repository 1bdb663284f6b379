import { once } from 'node:events'
import { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import { createSocketApi } from '../../../../src/stack/sockets/node/api.js'
import type { TcpSocket } from '../../../../src/stack/sockets/node/tcp-socket.js'
import { StackLink } from '../../../../src/testing/stack-link.js'
import { closed, collect, connected, failure, LEFT, listening, pattern, RIGHT, useLinks } from './support.js'

/** Lets promises and ticks run. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('TcpSocket', () => {
  const pair = useLinks()

  it('connects, carries bytes both ways, and ends', async () => {
    const { client, server } = await connected(pair(), {}, { allowHalfOpen: true })
    client.end('question')
    expect((await collect(server)).toString()).toBe('question')
    server.end('answer')
    expect((await collect(client)).toString()).toBe('answer')
    await Promise.all([closed(client), closed(server)])
    expect([client.errored, server.errored, client.destroyed, server.destroyed]).toEqual([null, null, true, true])
    expect([client.bytesWritten, client.bytesRead, server.bytesWritten, server.bytesRead]).toEqual([8, 6, 6, 8])
  }, 20_000)

  it('keeps what nobody has read yet when both sides end at once', async () => {
    const { client, server } = await connected(pair())
    client.end()
    server.end('answer')
    // In TIME_WAIT or gone: the connection is over for both.
    await Promise.all([once(client, 'finish'), once(server, 'finish')])
    await turn()
    expect((await collect(client)).toString()).toBe('answer')
  })

  it('knows both ends and its state', async () => {
    const both = pair()
    const listener = await listening(both.right, {}, 80)
    const client = both.left.connect(80, RIGHT)
    expect([client.connecting, client.pending, client.readyState, client.remoteAddress]).toEqual([true, true, 'opening', RIGHT])
    const [[server]] = (await Promise.all([once(listener, 'connection'), once(client, 'ready')])) as [[TcpSocket], unknown]
    expect([client.connecting, client.pending, client.readyState]).toEqual([false, false, 'open'])
    expect([client.localAddress, client.remoteAddress, client.remotePort, client.remoteFamily, client.localFamily]).toEqual([LEFT, RIGHT, 80, 'IPv4', 'IPv4'])
    expect([server.localAddress, server.localPort, server.remoteAddress, server.remotePort]).toEqual([RIGHT, 80, LEFT, client.localPort])
    expect(client.address()).toEqual({ address: LEFT, port: client.localPort, family: 'IPv4' })
    expect([client.originalDestination, server.originalDestination]).toEqual([null, null])
    client.end()
    await once(client, 'finish')
    expect(client.readyState).toBe('readOnly')
    server.destroy()
    await closed(client)
    expect(client.readyState).toBe('closed')
  })

  it('sends what was written before it was connected', async () => {
    const { left, right } = pair()
    const listener = await listening(right)
    const client = left.connect(listener.address()!.port, RIGHT)
    client.write('a')
    client.write('b')
    client.end('c')
    const [server] = (await once(listener, 'connection')) as [TcpSocket]
    expect((await collect(server)).toString()).toBe('abc')
  })

  it('says in Node\'s words why it cannot connect', async () => {
    const client = pair().left.connect(81, RIGHT)
    expect(await failure(client)).toMatchObject({ code: 'ECONNREFUSED', errno: -111, syscall: 'connect', address: RIGHT, port: 81, message: `connect ECONNREFUSED ${RIGHT}:81` })
    await closed(client)
    expect([client.destroyed, client.connecting]).toEqual([true, false])
  })

  it('refuses values that cannot be', () => {
    const { left } = pair()
    expect(() => left.connect(65536, RIGHT)).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_BAD_PORT' }))
    expect(() => left.connect({ port: -1 })).toThrow(RangeError)
    expect(() => left.connect({ port: 1, host: RIGHT, localAddress: 'x' })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_IP_ADDRESS' }))
  })

  it('asks for the address of a name', async () => {
    const both = pair()
    const listener = await listening(both.right)
    const { port } = listener.address()!
    const found: unknown[] = []
    const client = both.left.connect({ host: 'server.test', port, lookup: (name, options, done) => process.nextTick(() => { found.push(name, options); done(null, RIGHT, 4) }) })
    client.on('lookup', (...args) => found.push(args))
    await once(client, 'connect')
    expect(found).toEqual(['server.test', { family: 4 }, [null, RIGHT, 4, 'server.test']])
    const failing = both.left.connect({ host: 'nobody.test', port, lookup: (_, __, done) => process.nextTick(() => done(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), '', 4)) })
    expect((await failure(failing)).code).toBe('ENOTFOUND')
    const inTime = both.left.connect({ host: 'late.test', port, lookup: (_, __, done) => setImmediate(() => done(null, RIGHT, 4)) })
    inTime.destroy()
    await closed(inTime)
    expect(inTime.remoteAddress).toBeUndefined()
  })

  it('uses the local end that it is told', async () => {
    const { client } = await connected(pair(), { localAddress: LEFT, localPort: 4321 })
    expect([client.localAddress, client.localPort]).toEqual([LEFT, 4321])
  })

  it('keeps reading when its own direction has ended', async () => {
    const { client, server } = await connected(pair(), {}, { allowHalfOpen: true })
    client.end()
    server.resume()
    await once(server, 'end')
    expect(server.writable).toBe(true)
    const sent = pattern(1_000_000)
    server.end(sent)
    expect((await collect(client)).equals(sent)).toBe(true)
  })

  it('ends its own direction when the other side has ended', async () => {
    const { client, server } = await connected(pair())
    client.end()
    server.resume()
    client.resume()
    await Promise.all([closed(client), closed(server)])
    expect(client.errored).toBeNull()
  })

  it('is a stream for pipelines: 50 MB to a slow reader, and never much of it on the way', async () => {
    const { client, server } = await connected(pair())
    const total = 50 << 20
    const piece = pattern(64 << 10)
    let made = 0
    let received = 0
    let widest = 0
    const source = new Readable({
      read() {
        if (made === total) this.push(null)
        else {
          made += piece.length
          this.push(piece)
        }
      },
    })
    let wrong = 0
    const slow = new Writable({
      highWaterMark: 64 << 10,
      write(chunk: Buffer, _encoding, done) {
        for (let at = 0; at < chunk.length; at += 4096) if (chunk[at] !== piece[(received + at) % piece.length]) wrong++
        received += chunk.length
        widest = Math.max(widest, made - received)
        setImmediate(done)
      },
    })
    await Promise.all([pipeline(source, client), pipeline(server, slow)])
    expect([received, wrong]).toEqual([total, 0])
    // Send buffer, receive buffer and what the streams hold.
    expect(widest).toBeLessThan(16 << 20)
  }, 60_000)

  it('stops the other side when nobody reads', async () => {
    const { client, server } = await connected(pair())
    while (client.write(pattern(64 << 10)));
    for (let wait = 0; wait < 50; wait++) await turn()
    expect(client.writableNeedDrain).toBe(true)
    const written = client.bytesWritten
    client.end()
    expect((await collect(server)).length).toBe(written)
  })

  it('leaves the buffer to who wrote it once the callback was called', async () => {
    const { client, server } = await connected(pair())
    const buffer = Buffer.alloc(1000)
    for (let value = 0; value < 100; value++) {
      buffer.fill(value)
      await new Promise<void>((resolve, reject) => client.write(buffer, (error) => (error ? reject(error) : resolve())))
    }
    client.end()
    const got = await collect(server)
    expect(Array.from({ length: 100 }, (_, value) => got[value * 1000 + 999])).toEqual(Array.from({ length: 100 }, (_, value) => value))
  })

  it('does not copy what is promised to stay as it is', async () => {
    const { client, server } = await connected(pair(), { keepsWritten: true })
    client.cork()
    for (let value = 0; value < 40; value++) client.write(Buffer.alloc(4000, value))
    client.uncork()
    client.end()
    const got = await collect(server)
    expect(got.length).toBe(160_000)
    expect(got.every((byte, at) => byte === Math.floor(at / 4000))).toBe(true)
  })

  it('resets on demand, and the other side hears of it', async () => {
    const { client, server } = await connected(pair())
    const failed = failure(server)
    client.resetAndDestroy()
    expect(await failed).toMatchObject({ code: 'ECONNRESET', errno: -104, syscall: 'read' })
    expect(client.destroyed).toBe(true)
    await closed(server)
  })

  it('SOCK-16: destroyed with data that was not read, it resets', async () => {
    const { client, server } = await connected(pair())
    server.pause()
    client.write(pattern(100_000))
    for (let wait = 0; wait < 20; wait++) await turn()
    const failed = failure(client)
    server.destroy()
    expect((await failed).code).toBe('ECONNRESET')
  })

  it('is closed with its stack', async () => {
    const both = pair()
    const { client, server } = await connected(both)
    both.link.left.stack.close()
    expect(await failure(server)).toMatchObject({ code: 'ECONNRESET' })
    await Promise.all([closed(client), closed(server)])
    expect([client.errored, client.destroyed, both.link.left.stack.table.count]).toEqual([null, true, 0])
  })

  it('fails a write after the other side has reset', async () => {
    const { client, server } = await connected(pair())
    client.on('error', () => {})
    server.resetAndDestroy()
    await closed(client)
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => client.write('x', resolve))
    expect(error?.code).toBe('ERR_STREAM_DESTROYED')
  })

  it('is destroyed by a signal', async () => {
    const controller = new AbortController()
    const { client, server } = await connected(pair(), { signal: controller.signal })
    const failed = failure(client)
    server.resume()
    controller.abort()
    expect(await failed).toMatchObject({ name: 'AbortError' })
    await closed(server)
  })

  it('says when nothing has come or gone for a time', async () => {
    const link = new StackLink()
    const [left, right] = [createSocketApi(link.left.stack), createSocketApi(link.right.stack)]
    const accepted: TcpSocket[] = []
    right.createServer((socket) => accepted.push(socket)).listen(80)
    let timeouts = 0
    let connects = 0
    const client = left.connect({ host: RIGHT, port: 80, timeout: 5000 }, () => connects++).on('timeout', () => timeouts++)
    link.until(() => connects === 1 && accepted.length === 1)
    link.run(4000)
    accepted[0]!.write('x')
    await turn()
    link.run(4999)
    expect(timeouts).toBe(0)
    link.run(2)
    expect(timeouts).toBe(1)
    client.write('y')
    link.run(4999)
    client.setTimeout(0)
    link.run(10_000)
    expect([timeouts, client.timeout, client.destroyed]).toEqual([1, 0, false])
    client.setTimeout(100, () => (timeouts += 10))
    link.run(101)
    expect(timeouts).toBe(12)
    expect(() => client.setTimeout(-1)).toThrow(RangeError)
    client.destroy()
    client.setTimeout(5)
    link.run(10)
    expect(timeouts).toBe(12)
  })

  it('gives up a connection that gets no answer', async () => {
    const link = new StackLink({ loss: 1 })
    const client = createSocketApi(link.left.stack).connect(80, RIGHT)
    const failed = failure(client)
    link.run(400_000)
    expect(await failed).toMatchObject({ code: 'ETIMEDOUT', syscall: 'connect', address: RIGHT, port: 80 })
  })

  it('keeps an idle connection alive, and finds out when the other side is gone', async () => {
    const link = new StackLink()
    const [left, right] = [createSocketApi(link.left.stack), createSocketApi(link.right.stack)]
    right.createServer().listen(80)
    let connects = 0
    const client = left.connect({ host: RIGHT, port: 80, keepAlive: true, keepAliveInitialDelay: 10_000 }, () => connects++)
    link.until(() => connects === 1)
    link.run(1000)
    const before = link.passed
    link.run(10_000)
    expect(link.passed).toBe(before + 2)
    link.dropToRight(() => true)
    const failed = failure(client)
    link.run(3_600_000)
    expect((await failed).code).toBe('ETIMEDOUT')
  })

  it('survives loss, delay and reordering', async () => {
    const both = pair({ delay: 2, loss: 0.02, reorder: 0.05, duplicate: 0.01, seed: 5 })
    const { client, server } = await connected(both)
    const sent = pattern(1_000_000)
    const upper = new Transform({ transform: (chunk: Buffer, _encoding, done) => done(null, chunk) })
    server.pipe(upper).pipe(server)
    client.end(sent)
    expect((await collect(client)).equals(sent)).toBe(true)
    expect(both.link.lost).toBeGreaterThan(10)
  }, 30_000)

  it('holds the process while it is open, unless it need not', async () => {
    const link = new StackLink()
    const { stack } = link.left
    let held = 0
    stack.onHold = () => held++
    stack.onRelease = () => held--
    const [left, right] = [createSocketApi(stack), createSocketApi(link.right.stack)]
    right.createServer().listen(80)
    const client = left.connect(80, RIGHT)
    expect(held).toBe(1)
    expect([client.unref(), held, client.unref(), held, client.ref(), held]).toEqual([client, 0, client, 0, client, 1])
    client.destroy()
    expect(held).toBe(0)
    const server = left.createServer().listen(90)
    expect(held).toBe(1)
    server.unref()
    expect(held).toBe(0)
    server.ref().close()
    expect(held).toBe(0)
  })

  it('bears many connections at a time', async () => {
    const both = pair()
    const listener = await listening(both.right)
    listener.on('connection', (socket: TcpSocket) => socket.pipe(socket))
    const { port } = listener.address()!
    const answers = await Promise.all(
      Array.from({ length: 500 }, async (_, number) => {
        const client = both.left.connect(port, RIGHT)
        client.end(`number ${number}`)
        return (await collect(client)).toString()
      }),
    )
    expect(answers).toEqual(Array.from({ length: 500 }, (_, number) => `number ${number}`))
    listener.close()
    await once(listener, 'close')
  }, 30_000)
})
