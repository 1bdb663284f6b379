/** The stack on a TUN and the kernel's TCP talk to each other. */
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TcpSettings } from '../../src/stack/sockets/tcp/settings.js'
import { ip } from '../stack/support.js'
import { User } from '../stack/sockets/tcp/user.js'
import { KernelSide } from './kernel-side.js'
import { KERNEL, Meeting, STACK } from './meeting.js'

let meeting: Meeting
let kernel: KernelSide

const meet = async (options?: { offload?: boolean; tcp?: Partial<TcpSettings> }): Promise<void> => {
  meeting = await Meeting.make(options)
  ;({ kernel } = meeting)
}

afterEach(() => meeting.close())

const MEGABYTE = 1 << 20

describe.each([['with offloads', true], ['without offloads', false]])('bulk data %s', (_name, offload) => {
  beforeEach(() => meet({ offload }))

  it('TS-1, TS-2, SOCK-4: arrives from the kernel, with scaled windows, timestamps and SACK', async () => {
    const user = await meeting.opened()
    const hash = createHash('sha1')
    const drain = setInterval(() => hash.update(user.take()), 5)
    const sent = await kernel.run(`
data = os.urandom(${MEGABYTE}) * 24
s.sendall(data); s.shutdown(SHUT_WR)
hashlib.sha1(data).hexdigest()`)
    const { stdout } = await meeting.namespace.run('ss', ['-Htino', 'dport', '=', ':80'])
    await expect.poll(() => user.events).toContain('end')
    clearInterval(drain)
    expect(hash.update(user.take()).digest('hex')).toBe(sent)
    expect(user.endpoint.bytesRead).toBe(24 * MEGABYTE)
    expect(stdout).toMatch(/ts sack .*wscale:\d+,\d+/)
    expect(stdout).toMatch(/mss:1448/)
  })

  it('SOCK-10, SOCK-11: arrives at the kernel', async () => {
    const user = await meeting.opened()
    const chunk = Buffer.alloc(MEGABYTE, 'tsnat')
    const hash = createHash('sha1')
    meeting.use(() => {
      for (let i = 0; i < 24; i++) {
        hash.update(chunk)
        user.write(chunk)
      }
      user.shutdown()
    })
    const got = await kernel.run(`
h = hashlib.sha1(); n = 0
while True:
    b = s.recv(1 << 20)
    if not b: break
    h.update(b); n += len(b)
[n, h.hexdigest()]`)
    expect(got).toEqual([24 * MEGABYTE, hash.digest('hex')])
    await expect.poll(() => user.events).toContain('finish')
    expect(user.endpoint.writeLength).toBe(0)
  })
})

describe('a kernel that offers no options', () => {
  it.each(['window_scaling', 'timestamps', 'sack', 'all'])('TS-1, TS-2, SACK-1: bulk data goes both ways without %s', async (option) => {
    await meet()
    for (const name of option === 'all' ? ['window_scaling', 'timestamps', 'sack'] : [option]) meeting.namespace.sysctl(`net.ipv4.tcp_${name}`, 0)
    const user = await meeting.opened()
    const chunk = Buffer.alloc(4 * MEGABYTE, 'tsnat')
    meeting.use(() => {
      user.write(chunk)
      user.shutdown()
    })
    const digest = createHash('sha1').update(chunk).digest('hex')
    expect(await kernel.run(`
h = hashlib.sha1(); data = b''
while True:
    b = s.recv(1 << 20)
    if not b: break
    h.update(b); data += b
s.sendall(data); s.close()
h.hexdigest()`)).toBe(digest)
    await expect.poll(() => user.events).toContain('end')
    expect(createHash('sha1').update(user.take()).digest('hex')).toBe(digest)
  })
})

describe('behind a link that carries less', () => {
  it.each([['with offloads', true], ['without offloads', false]])('PMTU-2: the stack heeds what the kernel says of it, %s', async (_name, offload) => {
    await meet({ offload })
    const { lab, namespace: router } = meeting
    const server = await lab.namespace('server')
    await lab.link(router, { name: 'eth1', address: '10.8.0.1/24' }, server, { name: 'eth0', address: '10.8.0.2/24' })
    await router.mtu('eth1', 1300)
    await server.route('default', '10.8.0.1')
    router.sysctl('net.ipv4.ip_forward', 1)
    const far = new KernelSide(server)
    await far.run("l = create_server(('10.8.0.2', 80))")
    meeting.host.stack.attend()
    const user = new User(meeting.host.stack.connectTcp({ address: ip('10.8.0.2'), port: 80 }))
    await far.run('s = l.accept()[0]')
    await expect.poll(() => user.events).toEqual(['connect'])
    meeting.use(() => {
      user.write(Buffer.alloc(MEGABYTE, 'path'))
      user.shutdown()
    })
    expect(await far.run(`
n = 0
while True:
    b = s.recv(1 << 20)
    if not b: break
    n += len(b)
n`)).toBe(MEGABYTE)
    // Nobody has fragmented anything, and the stack has been told.
    expect(await meeting.counter('IpFragCreates')).toBe(0)
    expect(await meeting.counter('IcmpOutDestUnreachs')).toBeGreaterThanOrEqual(1)
    await far.close()
  })
})

describe('a connection with the kernel', () => {
  beforeEach(() => meet())

  it('SOCK-17: data with the SYN of the kernel is delivered', async () => {
    // To be a client (1), without a cookie (4).
    meeting.namespace.sysctl('net.ipv4.tcp_fastopen', 5)
    const accepted = meeting.listen(80)
    const before = await meeting.counter('TcpOutSegs')
    await kernel.run(`s = socket(); s.sendto(b'in the SYN', MSG_FASTOPEN, ('${STACK}', 80))`)
    await expect.poll(() => accepted.length).toBe(1)
    await expect.poll(() => accepted[0]!.takeText()).toBe('in the SYN')
    // The SYN and the ACK: the data needed no segment of its own.
    expect(await meeting.counter('TcpOutSegs')).toBe(before + 2)
    meeting.use(() => accepted[0]!.write('answer'))
    expect(await kernel.run('s.recv(100)')).toBe('answer')
  })

  it('SOCK-3: is opened by either side', async () => {
    const served = await meeting.opened()
    await kernel.run('first = s')
    const user = await meeting.connected()
    meeting.use(() => {
      served.write('from the server')
      user.write('from the client')
    })
    expect(await kernel.run('first.recv(100), s.recv(100)')).toEqual(['from the server', 'from the client'])
    expect([user.endpoint.remotePort, served.endpoint.localPort, user.endpoint.localAddress]).toEqual([8000, 80, ip(STACK)])
  })

  it('SOCK-3: is opened by both sides at once', async () => {
    meeting.isPaused = true
    await kernel.run(`
s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); s.bind(('${KERNEL}', 7000)); s.setblocking(False)
s.connect_ex(('${STACK}', 7001))`)
    const user = meeting.connect(7000, 7001)
    meeting.flush()
    meeting.isPaused = false
    meeting.driver.wake()
    await expect.poll(() => user.events).toEqual(['connect'])
    await expect.poll(() => meeting.states()).toEqual(['ESTAB'])
    meeting.use(() => user.write('ping'))
    expect(await kernel.run('s.setblocking(True); s.sendall(b"pong"); s.recv(4)')).toBe('ping')
    await expect.poll(() => user.takeText()).toBe('pong')
  })

  it('SOCK-6: is refused where nobody listens, either way', async () => {
    expect(await kernel.run(`create_connection(('${STACK}', 81))`)).toBe('ECONNREFUSED')
    const user = meeting.connect(81)
    await expect.poll(() => user.events).toEqual(['error ECONNREFUSED', 'close'])
  })

  it('SOCK-16: the kernel ends its direction, then gets a megabyte', async () => {
    const user = await meeting.opened()
    await kernel.run('s.sendall(b"request"); s.shutdown(SHUT_WR)')
    await expect.poll(() => user.events).toEqual(['end'])
    expect(user.takeText()).toBe('request')
    expect(await meeting.states()).toEqual(['FIN-WAIT-2'])
    meeting.use(() => {
      user.write(Buffer.alloc(MEGABYTE))
      user.close()
    })
    expect(await kernel.run(`
n = 0
while True:
    b = s.recv(65536)
    if not b: break
    n += len(b)
n`)).toBe(MEGABYTE)
    await expect.poll(() => user.events.at(-1)).toBe('close')
    await expect.poll(() => meeting.states()).toEqual(['TIME-WAIT'])
  })

  it('SOCK-16: the stack ends its direction, then gets a megabyte', async () => {
    const user = await meeting.opened()
    meeting.use(() => {
      user.write('request')
      user.shutdown()
    })
    expect(await kernel.run('s.recv(100), s.recv(100)')).toEqual(['request', ''])
    await expect.poll(() => meeting.states()).toEqual(['CLOSE-WAIT'])
    await kernel.run(`s.sendall(bytes(${MEGABYTE})); s.close()`)
    await expect.poll(() => user.events).toEqual(['finish', 'end', 'close'])
    expect(user.take().length).toBe(MEGABYTE)
    await expect.poll(() => meeting.states()).toEqual([])
  })

  it('SOCK-7: is closed by both sides at once', async () => {
    const user = await meeting.opened()
    meeting.isPaused = true
    await kernel.run('s.shutdown(SHUT_WR)')
    user.close()
    meeting.flush()
    // Its FIN is on its way and it has got ours.
    await expect.poll(() => meeting.states()).toEqual(['CLOSING'])
    meeting.isPaused = false
    meeting.driver.wake()
    await expect.poll(() => user.events.at(-1)).toBe('close')
    await expect.poll(() => meeting.states()).toEqual(['TIME-WAIT'])
    expect(user.error).toBeNull()
  })

  it('SOCK-7: the kernel may use its port again while the stack is in TIME_WAIT', async () => {
    const accepted = meeting.listen(80)
    const again = `
s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); s.bind(('${KERNEL}', 5555)); s.connect(('${STACK}', 80))
s.sendall(b'hello')`
    for (let round = 1; round <= 5; round++) {
      expect(await kernel.run(again)).toBeNull()
      await expect.poll(() => accepted.length).toBe(round)
      const user = accepted[round - 1]!
      await expect.poll(() => user.takeText()).toBe('hello')
      meeting.use(() => user.close())
      expect(await kernel.run('s.recv(1)')).toBe('')
      await kernel.run('s.close()')
      await expect.poll(() => user.events.at(-1)).toBe('close')
      // The side that closed first has the TIME_WAIT.
      await expect.poll(() => meeting.states()).toEqual([])
    }
  })

  it('SOCK-16: closing with unread data resets the kernel', async () => {
    const user = await meeting.opened(false)
    await kernel.run('s.sendall(b"x" * 1000)')
    // All is acknowledged.
    await expect.poll(async () => (await meeting.namespace.run('ss', ['-Htn'])).stdout).toMatch(/ESTAB\s+0\s+0 /)
    meeting.use(() => user.close())
    expect(await kernel.run('s.recv(1)')).toBe('ECONNRESET')
    expect(await meeting.states()).toEqual([])
  })

  it('SOCK-16: the kernel closing with unread data resets the stack', async () => {
    const user = await meeting.opened()
    meeting.use(() => user.write('unread'))
    await expect.poll(() => user.endpoint.writeLength).toBe(0)
    await kernel.run('s.close()')
    await expect.poll(() => user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('SOCK-16: aborting is told to the other, either way', async () => {
    const user = await meeting.opened()
    meeting.use(() => user.endpoint.abort())
    expect(await kernel.run('s.recv(1)')).toBe('ECONNRESET')
    const other = await meeting.connected()
    await kernel.run("s.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack('ii', 1, 0)); s.close()")
    await expect.poll(() => other.events).toEqual(['connect', 'error ECONNRESET', 'close'])
  })

  it('SOCK-13: urgent bytes of the kernel stay in the stream', async () => {
    const user = await meeting.opened()
    await kernel.run('s.sendall(b"before "); s.send(b"!", MSG_OOB); s.sendall(b" after"); s.send(b"?", MSG_OOB); s.shutdown(SHUT_WR)')
    await expect.poll(() => user.events).toEqual(['end'])
    expect(user.takeText()).toBe('before ! after?')
  })

  it('SOCK-10: a kernel whose reader has stopped closes its window, and opens it again', async () => {
    await kernel.run(`l = socket(); l.setsockopt(SOL_SOCKET, SO_RCVBUF, 8192); l.bind(('${KERNEL}', 8000)); l.listen()`)
    const user = meeting.connect(8000)
    await kernel.run('s = l.accept()[0]')
    meeting.use(() => {
      user.write(Buffer.alloc(MEGABYTE, 'stopped'))
      user.shutdown()
    })
    // Several probes have been answered.
    await expect.poll(() => meeting.counter('TcpExtTCPToZeroWindowAdv')).toBeGreaterThanOrEqual(1)
    const answered = await meeting.counter('TcpInSegs')
    await expect.poll(() => meeting.counter('TcpInSegs')).toBeGreaterThanOrEqual(answered + 3)
    expect(user.endpoint.writeLength).toBeGreaterThan(MEGABYTE / 2)
    expect(await kernel.run(`
h = hashlib.sha1()
while True:
    b = s.recv(65536)
    if not b: break
    h.update(b)
h.hexdigest()`)).toBe(createHash('sha1').update(Buffer.alloc(MEGABYTE, 'stopped')).digest('hex'))
    await expect.poll(() => user.events).toEqual(['connect', 'drain', 'finish'])
  })

  it('SOCK-10: a reader of the stack that has stopped stops the kernel, and lets it go on', async () => {
    const user = await meeting.opened(false)
    const size = 32 * MEGABYTE
    const all = kernel.run(`s.sendall(bytes(${size})); s.shutdown(SHUT_WR)`)
    await expect.poll(async () => (await meeting.namespace.run('ss', ['-Htno'])).stdout).toMatch(/timer:\(persist/)
    expect(user.endpoint.bytesRead).toBe(0)
    user.isReading = true
    meeting.use(() => user.read())
    await all
    await expect.poll(() => user.events).toEqual(['end'])
    expect(user.endpoint.bytesRead).toBe(size)
  })

  it('SOCK-3: a SYN of the kernel that comes twice opens one connection', async () => {
    meeting.isPaused = true
    const accepted = meeting.listen(80)
    await kernel.run(`s = socket(); s.setblocking(False); s.connect_ex(('${STACK}', 80))`)
    // The kernel repeats its SYN; both arrive together.
    await expect.poll(() => meeting.counter('TcpRetransSegs')).toBeGreaterThanOrEqual(1)
    meeting.isPaused = false
    meeting.driver.wake()
    await expect.poll(() => accepted.length).toBe(1)
    await expect.poll(() => meeting.states()).toEqual(['ESTAB'])
  })

  it('SOCK-3: a thousand short connections, one after the other and fifty at a time', async () => {
    const accepted: User[] = []
    meeting.host.stack.listenTcp({ port: 80, backlog: 100 }).onConnection = (endpoint) => {
      const user = new User(endpoint)
      accepted.push(user)
      user.onReadable = () => {
        user.read()
        if (!user.events.includes('end')) return
        user.write(user.take())
        user.close()
      }
    }
    expect(await kernel.run(`
bad = 0
def finish(s, text):
    global bad
    got = b''
    while True:
        b = s.recv(100)
        if not b: break
        got += b
    if got != text: bad += 1
    s.close()
def begin(i):
    s = create_connection(('${STACK}', 80)); text = b'connection %d' % i
    s.sendall(text); s.shutdown(SHUT_WR)
    return s, text
for i in range(500): finish(*begin(i))
for i in range(10):
    for one in [begin(j) for j in range(50)]: finish(*one)
bad`)).toBe(0)
    expect(accepted).toHaveLength(1000)
    await expect.poll(() => accepted.filter(({ events }) => events.at(-1) !== 'close').length).toBe(0)
    expect(accepted.filter(({ error }) => error !== null)).toEqual([])
    // The kernel closed first each time, so that the stack has nothing left but its listener.
    expect(meeting.host.stack.table.count).toBe(1)
  })
})

describe('keepalive with the kernel', () => {
  it('SOCK-9: probes of the kernel are answered', async () => {
    await meet()
    const user = await meeting.opened()
    await kernel.run('s.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1); s.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, 1); s.setsockopt(IPPROTO_TCP, TCP_KEEPINTVL, 1); s.setsockopt(IPPROTO_TCP, TCP_KEEPCNT, 1)')
    await expect.poll(() => meeting.counter('TcpExtTCPKeepAlive')).toBeGreaterThanOrEqual(3)
    expect(await meeting.states()).toEqual(['ESTAB'])
    meeting.use(() => user.write('alive'))
    expect(await kernel.run('s.recv(5)')).toBe('alive')
  })

  it('SOCK-9: probes of the stack are answered by the kernel', async () => {
    // The kernel answers such a probe every 500 ms at most (tcp_invalid_ratelimit).
    await meet({ tcp: { keepAliveInterval: 600, keepAliveProbes: 3 } })
    const user = await meeting.opened()
    const before = await meeting.counter('TcpInSegs')
    meeting.use(() => user.endpoint.setKeepAlive(true, 600))
    await expect.poll(() => meeting.counter('TcpInSegs')).toBeGreaterThanOrEqual(before + 5)
    expect(user.events).toEqual([])
    await kernel.run('s.sendall(b"alive")')
    await expect.poll(() => user.takeText()).toBe('alive')
  })
})
