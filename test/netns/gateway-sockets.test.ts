/**
 * Sockets of the gateway's own between real hosts: servers and clients at all of its addresses, errors, long ways, rules.
 *
 *     client 192.168.1.2 ── eth1 192.168.1.1  gateway  eth0 203.0.113.1 ── 203.0.113.9 upstream 10.9.0.1 ──(MTU 1280)── 10.9.0.2 far, 198.51.100.10
 *
 * 203.0.113.50 is tsnat's alone where the WAN has owned addresses.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { compile } from '../interop/support.js'
import { until } from './gateway-support.js'
import { SocketsProgram } from './scenarios/sockets-program.js'
import { Scenario, serveTeller } from './scenarios/support.js'

const CLIENT = '192.168.1.2'
const WAN = '203.0.113.1'
const OWNED = '203.0.113.50'
/** tsnat's address on the LAN. */
const LAN = '10.77.0.1'
const UPSTREAM = '203.0.113.9'
const FAR = '198.51.100.10'
const MEGABYTES = 1 << 20

let bed: Scenario
let client: LabNamespace
let upstream: LabNamespace
let far: LabNamespace
let program: SocketsProgram

/** @param config beyond the WAN and what is captured */
const start = async (config: object = {}): Promise<void> => {
  bed = await Scenario.create()
  client = await bed.host('client', `${CLIENT}/24`, 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  upstream = await bed.host('upstream', `${UPSTREAM}/24`, 'eth0', `${WAN}/24`)
  await bed.gateway.route('default', UPSTREAM)
  far = await bed.lab.namespace('far')
  await bed.lab.link(upstream, { name: 'eth1', address: '10.9.0.1/24', mtu: 1280 }, far, { name: 'eth0', address: '10.9.0.2/24', mtu: 1280 })
  upstream.sysctl('net.ipv4.ip_forward', 1)
  await upstream.route(`${FAR}/32`, '10.9.0.2')
  await bed.ip(far, `addr add ${FAR}/32 dev lo`)
  await far.route('default', '10.9.0.1')
  for (const [key, value] of [['icmp_ratelimit', 0], ['icmp_msgs_per_sec', 100_000]] as const) far.sysctl(`net.ipv4.${key}`, value)
  program = await SocketsProgram.start(bed, { wan: 'eth0', capture: { iif: ['eth1'] }, ...config })
}
afterEach(async () => {
  await bed.close()
})

/** What a host hears from a server that talks first. */
const heard = async (from: LabNamespace, host: string, port: number): Promise<string> =>
  (await from.run('nc', ['-N', '-w', '3', host, String(port)], { timeout: 20_000 })).stdout.trim()
const say = async (from: LabNamespace, host: string, port: number): Promise<string> =>
  (await from.run('sh', ['-c', `echo hello | nc -u -w 1 ${host} ${port}`], { timeout: 20_000 })).stdout.trim()

/** Ends all listings of a kernel's socket: `ss` with a filter. */
const listens = (where: LabNamespace, port: number): Promise<true> =>
  until(async () => (await where.run('ss', ['-Hltun', `sport = :${port}`])).stdout !== '') as Promise<true>

/** Serves on the host of the gateway, with the kernel's sockets, on all of its addresses. */
const serveKernel = async (port: number): Promise<void> => {
  bed.gateway.spawn('sh', ['-c', `while true; do nc -l ${port} </dev/null; done`])
  await listens(bed.gateway, port)
}

describe('servers', () => {
  it('on the address that the WAN shares with the host: curl and nc -u reach them, from both sides, and the host\'s kernel is silent', async () => {
    await start()
    await program.ask({ do: 'serve tcp', port: 8000, as: 'tell' })
    await program.ask({ do: 'serve udp', port: 8001, as: 'tell' })
    const capture = await bed.capture(upstream)
    for (const turn of [1, 2, 3]) expect(await heard(upstream, WAN, 8000), `turn ${turn}`).toMatch(new RegExp(`^${UPSTREAM}:\\d+ ${WAN}:8000 ${WAN}:8000$`))
    expect(await say(upstream, WAN, 8001)).toMatch(new RegExp(`^${UPSTREAM}:\\d+ 0\\.0\\.0\\.0:8001$`))
    expect((await upstream.run('curl', ['-s', '--http0.9', '--max-time', '5', `http://${WAN}:8000/`])).stdout).toMatch(`:8000 ${WAN}:8000`)
    expect(await capture.packets('tcp[tcpflags] & tcp-rst != 0 or icmp')).toEqual([])
    expect(await heard(client, LAN, 8000)).toMatch(new RegExp(`^${CLIENT}:\\d+ ${LAN}:8000 ${LAN}:8000$`))
    expect(await say(client, LAN, 8001)).toMatch(new RegExp(`^${CLIENT}:\\d+ `))
    // What nobody has is the kernel's to refuse.
    expect((await upstream.run('nc', ['-z', '-v', '-w', '2', WAN, '8002'])).stderr).toContain('refused')
    expect(await bed.flows()).toEqual([])
  })

  it('on an address that is tsnat\'s alone', async () => {
    await start({ wanAddress: { owned: [`${OWNED}/24`] } })
    await program.ask({ do: 'serve tcp', port: 80, host: OWNED, as: 'tell' })
    await program.ask({ do: 'serve udp', port: 53, host: OWNED, as: 'tell' })
    expect(await heard(upstream, OWNED, 80)).toMatch(new RegExp(`^${UPSTREAM}:\\d+ ${OWNED}:80 `))
    expect(await say(upstream, OWNED, 53)).toMatch(new RegExp(`^${UPSTREAM}:\\d+ ${OWNED}:53$`))
    await serveTeller(upstream, 7000, UPSTREAM)
    expect((await program.ask({ do: 'tcp', host: UPSTREAM, port: 7000 })).seen).toMatch(new RegExp(`^${OWNED} \\d+ `))
  })

  it('a port that a program of the host has on a shared address is refused; on an address of tsnat\'s own it is not', async () => {
    await start()
    await serveKernel(2222)
    expect(await program.ask({ do: 'serve tcp', port: 2222, as: 'tell' })).toMatchObject({ error: 'EADDRINUSE' })
    expect(await program.ask({ do: 'serve tcp', port: 2222, host: WAN, as: 'tell' })).toMatchObject({ error: 'EADDRINUSE' })
    expect(await program.ask({ do: 'tcp', host: UPSTREAM, port: 9, localPort: 2222 })).toMatchObject({ error: 'EADDRINUSE' })
    expect(await program.ask({ do: 'serve udp', port: 2222, as: 'tell' })).toEqual({ listening: '0.0.0.0:2222' })
    expect(await program.ask({ do: 'serve tcp', port: 2222, host: LAN, as: 'tell' })).toEqual({ listening: `${LAN}:2222` })
    expect(await heard(client, LAN, 2222)).toContain(`${LAN}:2222`)
    expect((await upstream.run('nc', ['-z', '-v', '-w', '2', WAN, '2222'])).stderr).toContain('succeeded')
    // Ports that sockets have on purpose the kernel does not choose.
    await program.ask({ do: 'serve tcp', port: 33_000, as: 'tell' })
    await until(async () => (await bed.gateway.run('sysctl', ['-n', 'net.ipv4.ip_local_reserved_ports'])).stdout.includes('33000'))
  })
})

describe('clients', () => {
  it('ICMP errors come to the sockets: ECONNREFUSED of a host, EHOSTUNREACH of a router', async () => {
    await start()
    // These first: a router's kernel sends few errors to one host.
    await bed.ip(upstream, 'route add prohibit 198.51.100.66')
    expect(await program.ask({ do: 'udp', host: '198.51.100.66', port: 9, connected: true })).toMatchObject({ error: 'EHOSTUNREACH' })
    expect(await program.ask({ do: 'tcp', host: '198.51.100.66', port: 9 })).toMatchObject({ error: 'EHOSTUNREACH' })
    expect(await program.ask({ do: 'tcp', host: UPSTREAM, port: 9 })).toMatchObject({ error: 'ECONNREFUSED' })
    expect(await program.ask({ do: 'udp', host: UPSTREAM, port: 9, connected: true })).toMatchObject({ error: 'ECONNREFUSED' })
    // On the own link nobody answers ARP.
    expect(await program.ask({ do: 'tcp', host: '203.0.113.77', port: 9, wait: 15_000 })).toMatchObject({ error: 'EHOSTUNREACH' })
    expect(await bed.flows()).toEqual([])
  })

  it('path MTU discovery: much comes through a narrow link, both ways, and UDP learns of it', async () => {
    await start()
    const capture = await bed.capture(upstream)
    const sink = far.node(`
      const { createHash } = await import('node:crypto')
      ;(await import('node:net')).createServer({ allowHalfOpen: true }, (socket) => {
        const hash = createHash('sha256')
        let length = 0
        socket.on('data', (data) => { hash.update(data); length += data.length })
        socket.on('end', () => socket.end(length + ' ' + hash.digest('hex')))
      }).listen(9000, '${FAR}', () => console.log('serving'))`)
    await sink.waitFor(/serving/)
    // The far end must not say by its MSS how narrow it is.
    await bed.ip(far, `route replace default via 10.9.0.1 advmss 1460`)
    const { seen, sent } = await program.ask({ do: 'upload', host: FAR, port: 9000, bytes: 5 * MEGABYTES }, 60_000)
    expect(seen).toBe(sent)
    await until(async () => (await capture.packets('icmp[0] == 3 and icmp[1] == 4')).length > 0)
  })

  it('200 MB go up and come down whole, in superpackets', async () => {
    await start()
    const bytes = 200 * MEGABYTES
    const sink = upstream.node(`
      const { createHash } = await import('node:crypto')
      ;(await import('node:net')).createServer({ allowHalfOpen: true }, (socket) => {
        const hash = createHash('sha256')
        let length = 0
        socket.on('data', (data) => { hash.update(data); length += data.length })
        socket.on('end', () => socket.end(length + ' ' + hash.digest('hex')))
      }).listen(9000, () => console.log('serving'))`)
    await sink.waitFor(/serving/)
    const { seen, sent } = await program.ask({ do: 'upload', host: UPSTREAM, port: 9000, bytes }, 100_000)
    expect(seen).toBe(sent)
    await program.ask({ do: 'serve tcp', port: 9001, as: 'digest' })
    await program.ask({ do: 'serve tcp', port: 9002, as: 'bytes', bytes })
    const down = await upstream.run('sh', ['-c', `nc -d ${WAN} 9002 | sha256sum`], { timeout: 100_000 })
    expect(`${bytes} ${down.stdout.split(' ')[0]}`).toBe(sent)
    const up = await upstream.run('sh', ['-c', `nc -d ${WAN} 9002 | nc -N ${WAN} 9001`], { timeout: 100_000 })
    expect(up.stdout).toBe(sent)
    const { lan, wans: [wan] } = await bed.status()
    expect(wan!.tx.errors + lan.tx.errors).toBe(0)
    // A packet a segment would be twice as many.
    expect(wan!.tx.packets).toBeLessThan((3 * bytes) / 1448 / 4)
  })

  it('datagrams of 8 kB come and go in fragments', async () => {
    await start()
    await program.ask({ do: 'serve udp', port: 8001, as: 'echo' })
    const capture = await bed.capture(upstream)
    const asked = await upstream.node(`
      const socket = (await import('node:dgram')).createSocket('udp4')
      const sent = Buffer.from({ length: 8192 }, (_, index) => index * 7 + (index >> 8))
      socket.on('message', (data) => { console.log(data.equals(sent), data.length); socket.close() })
      socket.send(sent, 8001, '${WAN}')`).finish({ timeout: 20_000, check: true })
    expect(asked.stdout.trim()).toBe('true 8192')
    await until(async () => (await capture.packets(`src host ${WAN} and ip[6:2] & 0x3fff != 0`)).length === 6)
    expect((await bed.status()).drops).toEqual({})
  })
})

describe('between own sockets', () => {
  it('127.0.0.1 and all own addresses lead here, for TCP, UDP and pings', async () => {
    await start({ wanAddress: { owned: [`${OWNED}/24`] } })
    await program.ask({ do: 'serve tcp', port: 8000, as: 'tell' })
    await program.ask({ do: 'serve udp', port: 8001, as: 'echo' })
    await program.ask({ do: 'serve tcp', port: 9001, as: 'digest' })
    for (const host of ['127.0.0.1', '127.1.2.3', LAN, OWNED]) {
      expect(await program.ask({ do: 'tcp', host, port: 8000 }), host).toMatchObject({ seen: expect.stringContaining(` ${host}:8000 `) as string })
      expect(await program.ask({ do: 'udp', host, port: 8001, connected: true }), host).toMatchObject({ seen: 'who am I?', from: `${host}:8001` })
      expect(await program.ask({ do: 'tcp', host, port: 8002 }), host).toMatchObject({ error: 'ECONNREFUSED' })
      expect(await program.ask({ do: 'udp', host, port: 8002, connected: true }), host).toMatchObject({ error: 'ECONNREFUSED' })
    }
    const { seen, sent } = await program.ask({ do: 'upload', host: '127.0.0.1', port: 9001, bytes: 20 * MEGABYTES }, 60_000)
    expect(seen).toBe(sent)
    expect(await bed.flows()).toEqual([])
  })
})

describe('rules', () => {
  it('what sockets ask for comes back through a closed INPUT, nothing else does; the same for OUTPUT and servers', async () => {
    await start()
    await serveTeller(upstream, 7000, UPSTREAM)
    await program.ask({ do: 'serve tcp', port: 8000, as: 'tell' })
    await program.ask({ do: 'serve udp', port: 8001, as: 'echo' })
    for (const line of ['-P INPUT DROP', '-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT']) await bed.typed(`tsnat iptables ${line}`)
    const asks = async (): Promise<unknown[]> => [
      (await program.ask({ do: 'tcp', host: UPSTREAM, port: 7000 })).error, (await program.ask({ do: 'udp', host: UPSTREAM, port: 7000 })).error,
      (await program.ask({ do: 'udp', host: UPSTREAM, port: 7000, connected: true })).error, (await program.ask({ do: 'ping', host: UPSTREAM })).error,
      (await program.ask({ do: 'udp', host: UPSTREAM, port: 9, connected: true })).error,
    ]
    expect(await asks()).toEqual([undefined, undefined, undefined, undefined, 'ECONNREFUSED'])
    expect([await heard(upstream, WAN, 8000), await say(upstream, WAN, 8001)]).toEqual(['', ''])
    for (const line of ['-P INPUT ACCEPT', '-P OUTPUT DROP', '-A OUTPUT -m state --state ESTABLISHED,RELATED -j ACCEPT']) await bed.typed(`tsnat iptables ${line}`)
    expect(await heard(upstream, WAN, 8000)).toContain(`${WAN}:8000`)
    expect(await say(upstream, WAN, 8001)).toBe('hello')
    expect(await program.ask({ do: 'udp', host: UPSTREAM, port: 7000, wait: 1000 })).toMatchObject({ error: 'EPERM' })
    expect(await program.ask({ do: 'tcp', host: UPSTREAM, port: 7000, wait: 1000 })).toMatchObject({ error: 'silence' })
  })

  it('MASQUERADE leaves own sockets as they are', async () => {
    await start()
    await bed.typed('tsnat iptables -t nat -A POSTROUTING -s 192.168.1.0/24 -o eth0 -j MASQUERADE')
    await bed.typed('tsnat iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE')
    await serveTeller(upstream, 7000, UPSTREAM)
    await program.ask({ do: 'serve tcp', port: 8000, as: 'tell' })
    const { local, seen } = await program.ask({ do: 'tcp', host: UPSTREAM, port: 7000 })
    expect(seen).toBe(`${local!.replace(':', ' ')} ${UPSTREAM} 7000`)
    expect((await program.ask({ do: 'udp', host: UPSTREAM, port: 7000, connected: true })).seen).toMatch(new RegExp(`^${WAN} `))
    expect(await program.ask({ do: 'ping', host: UPSTREAM })).toMatchObject({ seen: 'hello' })
    expect(await heard(upstream, WAN, 8000)).toContain(`${WAN}:8000`)
    expect(await bed.flows()).toEqual([])
    expect(await heard(client, UPSTREAM, 7000)).toMatch(new RegExp(`^${WAN} `))
  })
})

describe('under load', () => {
  it('a flood of SYNs to a listener leaves room for who really comes', async () => {
    await start()
    await program.ask({ do: 'serve tcp', port: 8000, as: 'tell' })
    expect(await heard(upstream, WAN, 8000)).toContain(`${WAN}:8000`)
    await bed.ip(upstream, 'route add blackhole 172.24.0.0/13')
    // Cookies come back as ACKs of connections that nobody knows: rules must know them all the same.
    for (const line of ['-P INPUT DROP', '-A INPUT -m state --state ESTABLISHED -j ACCEPT', '-A INPUT -p tcp --syn --dport 8000 -m state --state NEW -j ACCEPT']) {
      await bed.typed(`tsnat iptables ${line}`)
    }
    const flood = upstream.spawn(compile('flood.c', bed.lab.temporaryDirectory()), ['eth0', bed.gateway.mac('eth0'), 'tcp', '172.24.0.0', '13', WAN, '8000', '60000', '10000'])
    await flood.waitFor(/flooding/)
    for (let turn = 0; turn < 5; turn++) expect(await heard(upstream, WAN, 8000), `turn ${turn}`).toContain(`${WAN}:8000`)
    await flood.done
    expect(await heard(upstream, WAN, 8000)).toContain(`${WAN}:8000`)
  })

  it('20 000 short connections through TPROXY and a relay leave nothing behind', async () => {
    const total = 20_000
    // Far fewer sockets than connections: what is not given back is missed soon.
    await start({ limits: { sockets: 2048 } })
    const server = upstream.node(`
      (await import('node:net')).createServer((socket) => {
        socket.on('error', () => {})
        socket.resume().end(socket.remoteAddress + ' ')
      }).listen(7000, '0.0.0.0', () => console.log('serving'))`)
    await server.waitFor(/serving/)
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'relay' })
    for (const line of [
      'ip rule add fwmark 1 table 100', 'ip route add local default dev lo table 100',
      'iptables -t mangle -A PREROUTING ! -i eth0 -p tcp -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 1',
    ]) await bed.typed(`tsnat ${line}`)
    const connect = async (count: number): Promise<string> => (await client.node(`
      const { connect } = await import('node:net')
      let left = ${count}
      let done = 0
      const failed = {}
      const next = () => {
        if (left-- <= 0) return
        const socket = connect(7000, '${UPSTREAM}')
        let text = ''
        socket.setTimeout(20_000, () => socket.destroy(new Error('silence')))
        socket.on('data', (data) => (text += data))
        socket.on('error', ({ code, message }) => { failed[code ?? message] = (failed[code ?? message] ?? 0) + 1 })
        socket.on('close', () => { if (text.startsWith('${WAN} ')) done++; next() })
      }
      process.on('exit', () => console.log(done, JSON.stringify(failed)))
      for (let one = 0; one < 50; one++) next()`).finish({ timeout: 110_000, check: true })).stdout.trim()
    expect(await connect(2000)).toBe('2000 {}')
    const before = (await program.ask({ do: 'measure' })).memory!
    expect(await connect(total)).toBe(`${total} {}`)
    await until(async () => {
      const { memory, flows } = await program.ask({ do: 'measure' })
      return flows === 0 && memory! < before + 4 * MEGABYTES
    }, async () => JSON.stringify([before, await program.ask({ do: 'measure' })]))
    expect((await bed.status()).drops).toEqual({})
  })
})

describe('two WANs', () => {
  it('when one dies, what sockets send from then on leaves by the other, with its address', async () => {
    bed = await Scenario.create()
    upstream = await bed.host('one', '10.0.0.254/24', 'eth0', '10.0.0.1/24')
    await bed.lab.link(upstream, { name: 'eth1', address: '10.1.0.254/24' }, bed.gateway, { name: 'eth1', address: '10.1.0.1/24' })
    upstream.sysctl('net.ipv4.conf.all.rp_filter', 0)
    await bed.ip(upstream, `addr add ${FAR}/32 dev lo`)
    await bed.ip(bed.gateway, 'route add default via 10.0.0.254 metric 10')
    await bed.ip(bed.gateway, 'route add default via 10.1.0.254 metric 20')
    await serveTeller(upstream, 7000, FAR)
    program = await SocketsProgram.start(bed, { wan: ['eth0', 'eth1'], capture: 'none' })
    await program.ask({ do: 'open udp', name: 'free' })
    await program.ask({ do: 'open udp', name: 'connected', host: FAR, port: 7000 })
    await program.ask({ do: 'open udp', name: 'bound', localAddress: '10.1.0.1' })
    const sources = async (): Promise<(string | undefined)[]> => {
      const answers = [
        await program.ask({ do: 'tcp', host: FAR, port: 7000 }), await program.ask({ do: 'udp', host: FAR, port: 7000 }),
        await program.ask({ do: 'send udp', name: 'free', host: FAR, port: 7000 }), await program.ask({ do: 'send udp', name: 'connected' }),
      ]
      return answers.map(({ seen, error }) => seen?.split(' ')[0] ?? error)
    }
    expect(await sources()).toEqual(['10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.1'])
    await bed.ip(bed.gateway, 'link set eth0 down')
    await until(async () => (await sources()).every((source) => source === '10.1.0.1'), sources, 30_000)
    expect((await program.ask({ do: 'send udp', name: 'bound', host: FAR, port: 7000 })).seen).toMatch(/^10\.1\.0\.1 /)
    expect(await bed.flows()).toEqual([])
  })
})

describe('the end', () => {
  it('an orderly stop ends connections with RST, and at once', async () => {
    await start()
    await program.ask({ do: 'serve tcp', port: 8000, as: 'hold' })
    const count = 300
    const peer = upstream.node(`
      const { connect } = await import('node:net')
      let open = 0
      let reset = 0
      for (let index = 0; index < ${count}; index++) {
        const socket = connect(8000, '${WAN}', () => { if (++open === ${count}) console.log('open') })
        socket.on('error', ({ code }) => { if (code === 'ECONNRESET' && ++reset === ${count}) console.log('reset') })
      }
      setInterval(() => {}, 1000)`)
    await peer.waitFor(/open/)
    await until(async () => (await program.ask({ do: 'measure' })).held === count)
    await bed.typed('tsnat down')
    await peer.waitFor(/reset/)
    expect((await program.process.finish()).code).toBe(0)
  })

  it('killed, it leaves nothing that tsnat down does not undo', async () => {
    await start()
    await program.ask({ do: 'serve tcp', port: 33_000, as: 'hold' })
    await program.ask({ do: 'serve udp', port: 33_001, as: 'echo' })
    await until(async () => (await bed.gateway.run('sysctl', ['-n', 'net.ipv4.ip_local_reserved_ports'])).stdout.includes('33000-33001'))
    await program.ask({ do: 'open udp', name: 'open', host: UPSTREAM, port: 9 })
    program.process.kill('SIGKILL')
    await program.process.done
    await bed.typed('tsnat down')
    expect((await bed.gateway.run('sysctl', ['-n', 'net.ipv4.ip_local_reserved_ports'])).stdout.trim()).toBe('')
    expect((await bed.gateway.run('nft', ['list', 'ruleset'])).stdout).toBe('')
    expect((await bed.gateway.run('ip', ['rule'])).stdout.split('\n').filter(Boolean)).toHaveLength(3)
    expect((await bed.gateway.run('ip', ['-brief', 'link'])).stdout).not.toContain('tsnat')
    expect(existsSync(join(bed.runs, 'default', 'journal.json'))).toBe(false)
  })
})
