import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Guard } from '../../src/host/guard.js'
import type { GuardScope } from '../../src/host/guard.js'
import { parsePorts } from '../../src/host/port-set.js'
import { native } from '../../src/native.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import { compile } from '../interop/support.js'
import { pause } from './gateway-support.js'
import { startProgram, testNamespace, until } from './host-support.js'
import type { TestNamespace } from './host-support.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-guard-'))
afterAll(() => rmSync(folder, { recursive: true }))
const program = compile('ip-protocol.c', folder)

const host = testNamespace()
const peer = testNamespace()
const ADDRESS = parseIpv4('198.51.100.2')!
const scope = (ports: string, addresses = [ADDRESS]): GuardScope => ({ addresses, tcp: parsePorts(ports), udp: parsePorts(ports) })
/** Classic BPF: return -1. */
const EVERYTHING = new Uint8Array(Uint32Array.of(0x06, 0xffffffff).buffer)

let guard: Guard | undefined
const ingress = async (ports: string): Promise<void> => {
  guard = await Guard.onIngress('test', 'eth0', scope(ports), host.namespace)
}

/** Runs in the peer, and says how the host answers a SYN: 'refused' (RST), 'open', or 'silent' for 300 ms. */
const prober = spawn('ip', ['netns', 'exec', peer.name, process.execPath, '-e', `
  process.on('message', ({ port, address }) => {
    const socket = require('node:net').connect(port, address)
    const answer = (text) => { socket.destroy(); process.send(text) }
    socket.setTimeout(300, () => answer('silent'))
    socket.on('connect', () => answer('open'))
    socket.on('error', (error) => answer(error.code === 'ECONNREFUSED' ? 'refused' : error.code))
  })`], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
afterAll(() => prober.kill('SIGKILL'))

const connect = async (port: number, address = '198.51.100.2'): Promise<unknown> => {
  prober.send({ port, address })
  const [answer] = await once(prober, 'message') as unknown[]
  return answer
}
/** Several, one after another. */
const connectAll = async (...ports: number[]): Promise<unknown[]> => {
  const answers: unknown[] = []
  for (const port of ports) answers.push(await connect(port))
  return answers
}
const counter = (name: string): number => Number(new RegExp(`${name}\\s+(\\d+)`).exec(peer.run('nstat -asz'))![1])
/** Port-unreachables that the peer got for a datagram to this port. */
const unreachable = (port: number): number => {
  const before = counter('IcmpInDestUnreachs')
  peer.runInput(`nc -nu -w 1 -q 0 198.51.100.2 ${port}`, 'x')
  return counter('IcmpInDestUnreachs') - before
}

/** What a server in one namespace says to a client in the other. @throws when the client cannot reach it */
const transfer = async (server: TestNamespace, client: TestNamespace, address: string, sourcePort?: number, port = 8000): Promise<string> => {
  const listener = spawn('ip', ['netns', 'exec', server.name, 'nc', '-nlN', address, String(port)], { stdio: ['pipe', 'ignore', 'inherit'] })
  listener.stdin.end('hello')
  try {
    await until(() => server.run('ss -Hlnt').includes(`:${port} `), () => server.run('ss -lnt'))
    return client.run(`nc -n -w 1 ${sourcePort === undefined ? '' : `-p ${sourcePort} `}${address} ${port}`)
  } finally {
    listener.kill('SIGKILL')
  }
}

beforeEach(() => {
  host.veth('eth0', peer, 'p0')
  host.script('ip addr add 198.51.100.2/24 dev eth0', 'ip addr add 198.51.100.3/24 dev eth0')
  peer.run('ip addr add 198.51.100.1/24 dev p0')
  peer.run('sysctl -qw net.ipv4.icmp_ratelimit=0')
  host.run('sysctl -qw net.ipv4.icmp_ratelimit=0')
})
afterEach(() => {
  guard?.close()
  guard = undefined
  host.run('ip link del eth0')
})

describe('ingress guard', () => {
  it('keeps its ports from the kernel, and only those', async () => {
    expect(await connect(40000)).toBe('refused')
    expect(unreachable(40000)).toBe(1)
    await ingress('512-599,40000-40009')
    expect(await connect(40000)).toBe('silent')
    expect(await connect(40009)).toBe('silent')
    expect(await connect(512)).toBe('silent')
    expect(await connect(40010)).toBe('refused')
    expect(await connect(511)).toBe('refused')
    expect(await connect(40000, '198.51.100.3')).toBe('refused')
    expect(unreachable(40000)).toBe(0)
    expect(unreachable(39999)).toBe(1)
    expect(peer.run('ping -c 1 -W 5 198.51.100.2')).toContain('1 received')
  })

  it('lets a packet socket see what it drops', async () => {
    await ingress('40000')
    const ifindex = host.namespace.run(() => native().interfaceIndex('eth0'))
    const fd = host.namespace.run(() => native().packetOpen(ifindex, false, false, EVERYTHING, 1 << 20))
    try {
      expect(await connect(40000)).toBe('silent')
      const slab = Buffer.alloc(1 << 20)
      const at = new Int32Array(64)
      const length = new Int32Array(64)
      const count = native().readBatch(fd, true, slab, 0, slab.length, 14, at, length, 64)
      const ports = Array.from({ length: Math.max(count, 0) }, (_, i) => at[i]!)
        .filter((start) => slab[start] === 0x45 && slab[start + 9] === 6)
        .map((start) => slab.readUInt16BE(start + 22))
      expect(ports).toContain(40000)
    } finally {
      native().close(fd)
    }
  })

  it('leaves the own connections of the host alone, in both directions', async () => {
    await ingress('36864-60999')
    host.run('sysctl -qw net.ipv4.ip_local_reserved_ports=36864-60999')
    expect(await transfer(peer, host, '198.51.100.1')).toBe('hello')
    expect(await transfer(host, peer, '198.51.100.2')).toBe('hello')
    // Without the reservation the kernel could choose a guarded port: the guard would be seen.
    await expect(transfer(peer, host, '198.51.100.1', 40000)).rejects.toThrow()
  })

  it('replaces addresses and ports', async () => {
    await ingress('40000-40009')
    await guard!.update(scope('50000,65535'))
    expect(await connectAll(40000, 50000, 65535)).toEqual(['refused', 'silent', 'silent'])
    await guard!.update(scope('50000', [parseIpv4('198.51.100.3')!, parseIpv4('198.51.100.3')!]))
    expect(await connect(50000)).toBe('refused')
    expect(await connect(50000, '198.51.100.3')).toBe('silent')
    await guard!.update({ addresses: [], tcp: [], udp: [] })
    expect(await connect(50000, '198.51.100.3')).toBe('refused')
    await guard!.update({ addresses: [ADDRESS], tcp: parsePorts('1-65535'), udp: [] })
    expect(await connect(80)).toBe('silent')
    expect(unreachable(80)).toBe(1)
    const many = Array.from({ length: 2048 }, (_, i) => ({ first: 2000 + 20 * i, last: 2010 + 20 * i }))
    await guard!.update({ addresses: [ADDRESS], tcp: many, udp: many })
    expect(await connectAll(2000, 2010, 2011)).toEqual(['silent', 'silent', 'refused'])
  })

  it('drops the first fragment, so that the rest is not answered either', async () => {
    host.run('sysctl -qw net.ipv4.ipfrag_time=1')
    await ingress('40000')
    const before = [counter('IcmpInTimeExcds'), counter('IcmpInDestUnreachs')]
    peer.runInput('nc -nu -w 1 -q 0 198.51.100.2 40000', 'x'.repeat(4000))
    await until(() => Number(/IpReasmFails\s+(\d+)/.exec(host.run('nstat -asz'))![1]) > 0, () => host.run('nstat -asz'))
    expect([counter('IcmpInTimeExcds'), counter('IcmpInDestUnreachs')]).toEqual(before)
  })

  it('says nothing of protocols that the kernel does not have, to whom it has said so before', async () => {
    const told = async (protocol: number, ports: string): Promise<number> => {
      const before = counter('IcmpInDestUnreachs')
      peer.run(`${program} send ${protocol} 198.51.100.2 0000123400000001aabbccdd${ports}`)
      await pause(50)
      return counter('IcmpInDestUnreachs') - before
    }
    const all = async (): Promise<number[]> => [await told(50, ''), await told(47, ''), await told(253, ''), await told(132, ''), await told(136, ' 77 40000')]
    // UDP-Lite is known here, but the port is not.
    expect(await all()).toEqual([1, 1, 1, 1, 1])
    guard = await Guard.onIngress('test', 'eth0', { ...scope('40000'), udplite: parsePorts('40000') }, host.namespace)
    expect(await all()).toEqual([0, 0, 0, 0, 0])
    expect(unreachable(39999)).toBe(1)
    await guard.update(scope('40000', []))
    expect(await all()).toEqual([1, 1, 1, 1, 1])
  })

  it('keeps from the kernel what is forwarded as a whole, where it comes from those who may use it', async () => {
    const forward = (protocol: number, from = 0, fromMask = 0): NonNullable<GuardScope['forwards']>[number] => ({ protocol, from, fromMask })
    const isAnswered = (): boolean => {
      try {
        return peer.run('ping -c 1 -W 1 198.51.100.2').includes('1 received')
      } catch {
        return false
      }
    }
    guard = await Guard.onIngress('test', 'eth0', { ...scope('40000'), forwards: [forward(1)] }, host.namespace)
    expect(isAnswered()).toBe(false)
    // What else is ICMP is the host's: its own pings are answered.
    expect(host.run('ping -c 1 -W 5 198.51.100.1')).toContain('1 received')
    guard.close()
    guard = await Guard.onIngress('test', 'eth0', { ...scope('40000'), forwards: [forward(1, parseIpv4('198.51.100.4')!, -4), forward(50)] }, host.namespace)
    expect(isAnswered()).toBe(true)
    guard.close()
    guard = await Guard.onIngress('test', 'eth0', { ...scope('40000'), forwards: [forward(1, parseIpv4('198.51.100.0')!, -4)] }, host.namespace)
    expect(isAnswered()).toBe(false)
  })

  it('is a table with an owner, and gone when closed', async () => {
    await ingress('512-599,40000')
    const table = host.run('nft list ruleset')
    expect(table).toContain('table netdev tsnat-test { # progname')
    expect(table).toContain('flags owner')
    expect(table).toContain('type filter hook ingress device "eth0" priority -300; policy accept;')
    guard!.close()
    expect(host.run('nft list ruleset')).toBe('')
    expect(await connect(40000)).toBe('refused')
  })

  it('is gone after the process was killed', async () => {
    const child = await startProgram(host, `
      import { Guard } from 'src/host/guard.js'
      const ports = [{ first: 40000, last: 40000 }]
      await Guard.onIngress('killed', 'eth0', { addresses: [${ADDRESS}], tcp: ports, udp: ports })
      console.log('up')
      setInterval(() => {}, 1000)`)
    expect(await connect(40000)).toBe('silent')
    child.kill('SIGKILL')
    await until(() => host.run('nft list ruleset') === '', () => host.run('nft list ruleset'))
    expect(await connect(40000)).toBe('refused')
  })

  it('is made anew when the device was', async () => {
    await ingress('40000')
    host.run('ip link del eth0')
    await expect(guard!.rebind('eth0')).rejects.toMatchObject({ code: 'UNKNOWN_INTERFACE' })
    host.veth('eth0', peer, 'p0')
    host.run('ip addr add 198.51.100.2/24 dev eth0')
    peer.run('ip addr add 198.51.100.1/24 dev p0')
    await guard!.rebind('eth0')
    expect(await connect(40000)).toBe('silent')
    await guard!.rebind('eth0')
    expect(await connectAll(40000, 40001)).toEqual(['silent', 'refused'])
    await guard!.update(scope('40001'))
    expect(await connectAll(40000, 40001)).toEqual(['refused', 'silent'])
  })

  it('refuses an unknown device, and a table that is there', async () => {
    await expect(Guard.onIngress('test', 'eth7', scope('1'), host.namespace)).rejects.toMatchObject({ code: 'UNKNOWN_INTERFACE', exitCode: 69 })
    await ingress('40000')
    await expect(ingress('40000')).rejects.toMatchObject({ code: 'GUARD_EXISTS' })
    host.run('nft add table netdev tsnat-other')
    await expect(Guard.onIngress('other', 'eth0', scope('1'), host.namespace)).rejects.toMatchObject({ code: 'GUARD_EXISTS' })
    host.run('nft delete table netdev tsnat-other')
  })
})

describe('output guard', () => {
  it('holds back RST and port-unreachable of its ports, and nothing else', async () => {
    guard = await Guard.onOutput('test', 0x7473, scope('40000-40009'), host.namespace)
    expect(await connectAll(40000, 40010)).toEqual(['silent', 'refused'])
    expect([unreachable(40009), unreachable(40010)]).toEqual([0, 1])
    expect(await connect(40000, '198.51.100.3')).toBe('refused')
    // A listener on a guarded port answers: only RST is held back.
    expect(await transfer(host, peer, '198.51.100.2', undefined, 40001)).toBe('hello')
  })

  it('lets pass what carries the mark', async () => {
    host.run('sysctl -qw net.ipv4.fwmark_reflect=1')
    host.run('nft add table ip marker')
    host.runInput('nft -f -', 'add chain ip marker in { type filter hook prerouting priority -200; }\nadd rule ip marker in meta mark set 0x7473\n')
    guard = await Guard.onOutput('test', 0x7473, scope('40000-40009'), host.namespace)
    expect(await connect(40000)).toBe('refused')
    host.run('nft delete table ip marker')
  })
})
