import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { reservePorts } from '../../src/host/changes.js'
import { Journal, recover, referenceTo, runningInstances } from '../../src/host/journal.js'
import type { Claims, Step } from '../../src/host/journal.js'
import { Lan } from '../../src/host/lan.js'
import type { LanOptions } from '../../src/host/lan.js'
import { parsePorts } from '../../src/host/port-set.js'
import { readSysctl } from '../../src/host/sysctl.js'
import { native } from '../../src/native.js'
import { formatIpv4, parseIpv4 } from '../../src/stack/wire/address.js'
import { startProgram, testNamespace, until } from './host-support.js'
import type { TestNamespace } from './host-support.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-host-'))
process.env['TSNAT_RUN_DIR'] = folder
afterAll(() => rmSync(folder, { recursive: true }))

const host = testNamespace()
const inner = testNamespace()
const upstream = testNamespace()
const ip = (text: string): number => parseIpv4(text)!

host.veth('eth0', upstream, 'p0')
host.veth('br0', upstream, 'p1')
host.veth('lan1', upstream, 'p2')
host.script(
  'ip addr add 198.51.100.2/24 dev eth0',
  'ip addr add 172.18.0.1/16 dev br0',
  'ip addr add 172.19.0.1/16 dev lan1',
  'ip route add default via 198.51.100.1',
  'ip route add 192.0.2.0/24 via 198.51.100.9',
  'ip route add 10.50.0.0/16 via 172.19.0.9',
)

const claims: Claims = { wans: [{ namespace: host.namespace.id, interface: 'eth0', ports: '40000-41000', addresses: [] }], lan: { namespace: host.namespace.id, interface: 'tun0' } }

let fd = -1
let lan: Lan | undefined
let journal: Journal
const openTun = (namespace = host.namespace): void => {
  fd = namespace.run(() => native().tunOpen('tun0', true, []).fd)
}
const closeTun = (): void => {
  if (fd >= 0) native().close(fd)
  fd = -1
}
const open = async (options: Partial<LanOptions> = {}, withTun = true): Promise<Lan> => {
  if (withTun) openTun(options.namespace)
  lan = await Lan.open({
    namespace: host.namespace,
    name: 'tun0',
    address: ip('10.77.0.2'),
    prefixLength: 24,
    mtu: 1400,
    capture: 'default',
    wan: { namespace: host.namespace, names: ['eth0'], addresses: [ip('198.51.100.2')] },
    journal,
    ...options,
  })
  return lan
}
const shut = async (): Promise<void> => {
  lan?.close()
  lan = undefined
  const report = await journal.undo()
  expect(report.failed).toEqual([])
  closeTun()
}
/** The device that the kernel chooses, or 'unreachable'. */
const way = (query: string, where = host): string => {
  try {
    const answer = where.run(`ip route get ${query}`)
    return / dev (\S+)/.exec(answer)?.[1] ?? answer
  } catch (error) {
    if (/No route to host/.test(String((error as { stderr?: string }).stderr))) return 'unreachable'
    throw error
  }
}

let before = ''
beforeEach(async () => {
  before = host.snapshot()
  ;({ journal } = await Journal.open('lan', claims))
})
afterEach(async () => {
  lan?.close()
  lan = undefined
  await journal.undo()
  closeTun()
})

describe('capture default', () => {
  it('configures the TUN', async () => {
    const { gatewayAddress } = await open({ txQueueLength: 2000 })
    expect(formatIpv4(gatewayAddress)).toBe('10.77.0.1')
    const link = host.run('ip link show tun0')
    expect(link).toContain('mtu 1400')
    expect(link).toContain('qlen 2000')
    expect(link).toContain('UP')
    expect(host.run('ip addr show tun0')).toContain('inet 10.77.0.2/24 brd 10.77.0.255')
    expect(host.run('ip addr show tun0')).not.toContain('inet6')
    expect(host.run('sysctl -n net.ipv4.conf.tun0.rp_filter').trim()).toBe('2')
    await lan!.setMtu(1500)
    expect(host.run('ip link show tun0')).toContain('mtu 1500')
    expect(lan!.warnings).toEqual([])
  })

  it('takes what would take the default route, and nothing else', async () => {
    await open()
    expect(way('203.0.113.5')).toBe('tun0')
    expect(host.run('ip route get 203.0.113.5')).toContain('src 10.77.0.2')
    expect(way('198.51.100.77')).toBe('eth0')
    expect(way('192.0.2.7')).toBe('eth0')
    expect(way('10.50.1.1')).toBe('lan1')
    expect(way('203.0.113.5 from 198.51.100.2')).toBe('eth0')
    expect(way('203.0.113.5 oif eth0')).toBe('eth0')
    expect(way('10.77.0.1')).toBe('tun0')
  })

  it('lets marked packets pass', async () => {
    await open({ bypassMark: 0x7473 })
    expect(way('203.0.113.5')).toBe('tun0')
    expect(way('203.0.113.5 mark 0x7473')).toBe('eth0')
  })

  it('follows the addresses of the WAN', async () => {
    await open()
    host.run('ip addr add 198.51.100.8/24 dev eth0')
    expect(way('203.0.113.5 from 198.51.100.8')).toBe('tun0')
    await lan!.updateWanAddresses([ip('198.51.100.8')])
    expect(way('203.0.113.5 from 198.51.100.8')).toBe('eth0')
    expect(way('203.0.113.5 from 198.51.100.2')).toBe('tun0')
    expect(journal.steps.filter(({ kind }) => kind === 'rule')).toHaveLength(4)
    host.run('ip addr del 198.51.100.8/24 dev eth0')
    await shut()
    expect(host.snapshot()).toBe(before)
  })

  it('leaves the host as it was', async () => {
    await open()
    await reservePorts(journal, host.namespace, parsePorts('512-599,36864-60999'))
    expect(host.snapshot()).not.toBe(before)
    await shut()
    expect(host.snapshot()).toBe(before)
    expect(() => statSync(join(folder, 'lan'))).toThrow('ENOENT')
  })

  it('goes below the rules of others, and beside tables of others', async () => {
    host.script('ip rule add pref 32764 fwmark 9 lookup 7', 'ip rule add pref 100 from 10.1.1.1 lookup 8', 'ip route add 10.3.0.0/16 dev br0 table 29811')
    const now = host.snapshot()
    await open()
    expect(lan!.table).toBe(29812)
    const priorities = host.run('ip rule').split('\n').filter((line) => line !== '').map((line) => Number(/^\d+/.exec(line)![0]))
    expect(priorities).toEqual([0, 100, 32761, 32761, 32762, 32763, 32764, 32766, 32767])
    await shut()
    expect(host.snapshot()).toBe(now)
    host.script('ip rule del pref 32764', 'ip rule del pref 100', 'ip route flush table 29811')
  })

  it('refuses captured traffic once the TUN is gone, unless told otherwise', async () => {
    await open()
    closeTun()
    expect(way('203.0.113.5')).toBe('unreachable')
    expect(way('203.0.113.5 from 198.51.100.2')).toBe('eth0')
    expect(way('203.0.113.5 oif eth0')).toBe('eth0')
    await shut()
    expect(host.snapshot()).toBe(before)
    ;({ journal } = await Journal.open('lan', claims))
    await open({ failClosed: false })
    closeTun()
    expect(way('203.0.113.5')).toBe('eth0')
    await shut()
    expect(host.snapshot()).toBe(before)
  })
})

describe('the queue of the TUN', () => {
  it('has its losses counted, from the start of the capture on', async () => {
    openTun()
    // Nobody reads: not all of ten find room.
    host.script('ip link set tun0 txqueuelen 4 up', 'ip addr add 10.66.0.1/24 dev tun0')
    const send = (): string => host.run('ping -q -c 10 -i 0.01 -W 0.01 10.66.0.9 -I tun0 -r')
    expect(send).toThrow()
    host.run('ip addr del 10.66.0.1/24 dev tun0')
    const counter = (): number => Number((JSON.parse(host.run('ip -j -s link show tun0')) as [{ stats64: { tx: { dropped: number } } }])[0].stats64.tx.dropped)
    const earlier = counter()
    expect(earlier).toBeGreaterThan(0)
    await open({ txQueueLength: 4 }, false)
    expect(lan!.dropped).toBe(0)
    expect(() => host.run('ping -q -c 10 -i 0.01 -W 0.01 203.0.113.5')).toThrow()
    await until(() => lan!.dropped > 0, () => String(counter()))
    expect(lan!.dropped).toBe(counter() - earlier)
  })
})

describe('capture of interfaces', () => {
  const from = (name: string, source: string, to: string): string => way(`${to} from ${source} iif ${name}`)

  it('takes what arrives on them, but for what stays inside', async () => {
    await open({ capture: { iif: ['br0', 'lan1'] } })
    expect(from('br0', '172.18.0.5', '203.0.113.5')).toBe('tun0')
    expect(from('lan1', '172.19.0.5', '203.0.113.5')).toBe('tun0')
    // The WAN's own network would be reached with the private address.
    expect(from('br0', '172.18.0.5', '198.51.100.77')).toBe('tun0')
    expect(from('br0', '172.18.0.5', '192.0.2.7')).toBe('tun0')
    expect(from('br0', '172.18.0.5', '172.19.0.5')).toBe('lan1')
    expect(from('br0', '172.18.0.5', '10.50.1.1')).toBe('lan1')
    expect(way('172.18.0.5 from 203.0.113.5 iif tun0')).toBe('br0')
    // What this host says from the TUN's address about packets out of the TUN.
    for (const to of ['203.0.113.5', '198.51.100.77']) expect(way(`${to} from 10.77.0.2`)).toBe('tun0')
    expect(way('172.18.0.5 from 10.77.0.2')).toBe('br0')
    expect(host.run('sysctl -n net.ipv4.icmp_errors_use_inbound_ifaddr').trim()).toBe('1')
    expect(way('203.0.113.5')).toBe('eth0')
    expect(host.run('sysctl -n net.ipv4.ip_forward').trim()).toBe('0')
    await shut()
    expect(host.snapshot()).toBe(before)
  })

  it('follows the main table', async () => {
    await open({ capture: { iif: ['br0'] } })
    expect(from('br0', '172.18.0.5', '10.60.0.1')).toBe('tun0')
    host.run('ip route add 10.60.0.0/16 via 172.19.0.9')
    await until(() => from('br0', '172.18.0.5', '10.60.0.1') === 'lan1', () => host.run('ip route show table all'))
    host.run('ip route replace 10.60.0.0/16 via 198.51.100.9')
    await until(() => from('br0', '172.18.0.5', '10.60.0.1') === 'tun0', () => host.run('ip route show table all'))
    host.run('ip route del 10.60.0.0/16')
    host.run('ip link set lan1 down')
    await until(() => from('br0', '172.18.0.5', '172.19.0.5') === 'tun0', () => host.run('ip route show table all'))
    host.script('ip link set lan1 up', 'ip route add 10.50.0.0/16 via 172.19.0.9')
    await until(() => from('br0', '172.18.0.5', '10.50.1.1') === 'lan1', () => host.run('ip route show table all'))
    await shut()
    expect(host.snapshot()).toBe(before)
  })

  it('lets nothing pass with a private source once the TUN is gone', async () => {
    await open({ capture: { iif: ['br0'] } })
    closeTun()
    expect(from('br0', '172.18.0.5', '203.0.113.5')).toBe('unreachable')
    expect(from('br0', '172.18.0.5', '198.51.100.77')).toBe('unreachable')
    expect(from('br0', '172.18.0.5', '172.19.0.5')).toBe('lan1')
    await shut()
    expect(host.snapshot()).toBe(before)
  })

  it('keeps settings that were changed since', async () => {
    await open({ capture: { iif: ['br0', 'lan1'] } })
    host.run('sysctl -qw net.ipv4.conf.br0.forwarding=0')
    host.run('sysctl -qw net.ipv4.ip_local_reserved_ports=100,200')
    await reservePorts(journal, host.namespace, parsePorts('200,300-310'))
    host.run('sysctl -qw net.ipv4.ip_local_reserved_ports=100,200,300-310,400')
    await shut()
    expect(host.run('sysctl -n net.ipv4.ip_local_reserved_ports').trim()).toBe('100,200,400')
    host.runInput('tee /proc/sys/net/ipv4/ip_local_reserved_ports', '\n')
    expect(host.snapshot()).toBe(before)
  })

  it('refuses interfaces that are not there, the WAN and the TUN', async () => {
    await expect(open({ capture: { iif: ['br0', 'br7'] } })).rejects.toMatchObject({ code: 'UNKNOWN_INTERFACE', hint: expect.stringContaining('lan1') as string })
    await shut()
    expect(host.snapshot()).toBe(before)
    ;({ journal } = await Journal.open('lan', claims))
    await expect(open({ capture: { iif: ['eth0'] } })).rejects.toMatchObject({ code: 'CAPTURE_WAN' })
  })
})

describe('packets', () => {
  /**
   * Runs `nc -u` to 203.0.113.5:7 and answers, as the Internet behind the TUN would, what comes out of it.
   * @returns what nc printed, and the sources of the packets that entered the TUN
   */
  const echo = async (client: TestNamespace): Promise<{ answer: string; sources: string[] }> => {
    const slab = Buffer.alloc(1 << 18)
    const [at, length] = [new Int32Array(64), new Int32Array(64)]
    const sources: string[] = []
    const program = spawn('ip', ['netns', 'exec', client.name, 'nc', '-nu', '-w', '1', '203.0.113.5', '7'], { stdio: ['pipe', 'pipe', 'inherit'] })
    let answer = ''
    program.stdout.on('data', (chunk: Buffer) => { answer += chunk.toString() })
    program.stdin.write('hello')
    await until(() => {
      const count = native().readBatch(fd, false, slab, 0, slab.length, 10, at, length, 64)
      for (let i = 0; i < count; i++) {
        const packet = slab.subarray(at[i]!, at[i]! + length[i]!)
        if (packet[0] !== 0x45 || packet[9] !== 17) continue
        sources.push(formatIpv4(packet.readInt32BE(12)))
        // Swapping ends leaves all checksums right; the virtio header says nothing.
        const [addresses, ports] = [Buffer.from(packet.subarray(12, 20)), Buffer.from(packet.subarray(20, 24))]
        packet.set(addresses.subarray(4), 12)
        packet.set(addresses.subarray(0, 4), 16)
        packet.set(ports.subarray(2), 20)
        packet.set(ports.subarray(0, 2), 22)
        native().writeBatch(fd, false, slab, 10, at.subarray(i), length.subarray(i), 1, new Int32Array(3), 0)
      }
      return answer !== '' || program.exitCode !== null
    }, () => sources.join())
    program.kill('SIGKILL')
    return { answer, sources }
  }

  it('pass between a captured interface and the TUN, with strict reverse path filters around', async () => {
    host.script('sysctl -qw net.ipv4.conf.all.rp_filter=1', 'sysctl -qw net.ipv4.conf.default.rp_filter=1')
    upstream.script('ip addr add 172.18.0.5/16 dev p1', 'ip route add default via 172.18.0.1')
    await open({ capture: { iif: ['br0'] } })
    expect(await echo(upstream)).toEqual({ answer: 'hello', sources: ['172.18.0.5'] })
    upstream.run('ip addr flush dev p1')
    host.script('sysctl -qw net.ipv4.conf.all.rp_filter=0', 'sysctl -qw net.ipv4.conf.default.rp_filter=0')
  })

  it('pass between the host and the TUN', async () => {
    host.script('sysctl -qw net.ipv4.conf.all.rp_filter=1')
    await open()
    expect(await echo(host)).toEqual({ answer: 'hello', sources: ['10.77.0.2'] })
    host.script('sysctl -qw net.ipv4.conf.all.rp_filter=0')
  })

  it('pass between another namespace and the TUN', async () => {
    await open({ namespace: inner.namespace })
    expect(await echo(inner)).toEqual({ answer: 'hello', sources: ['10.77.0.2'] })
  })
})

describe('other namespaces and captures', () => {
  it('puts address and default route into another namespace', async () => {
    const empty = inner.snapshot()
    await open({ namespace: inner.namespace })
    expect(way('203.0.113.5', inner)).toBe('tun0')
    expect(inner.run('ip route')).toContain('default via 10.77.0.1 dev tun0')
    expect(host.snapshot()).toBe(before)
    await shut()
    expect(inner.snapshot()).toBe(empty)
  })

  it('refuses a second default route there', async () => {
    inner.veth('x0', upstream, 'x1')
    inner.script('ip addr add 10.5.0.1/24 dev x0', 'ip route add default via 10.5.0.2')
    await expect(open({ namespace: inner.namespace })).rejects.toMatchObject({ code: 'DEFAULT_ROUTE_EXISTS', exitCode: 78 })
    await shut()
    await open({ namespace: inner.namespace, capture: 'none' })
    expect(way('203.0.113.5', inner)).toBe('x0')
    inner.run('ip link del x0')
  })

  it('changes nothing with capture none', async () => {
    await open({ capture: 'none' })
    expect(journal.steps).toEqual([])
    expect(way('203.0.113.5')).toBe('eth0')
  })
})

describe('journal', () => {
  const program = `
    import { Journal } from 'src/host/journal.js'
    import { Lan } from 'src/host/lan.js'
    import { reservePorts } from 'src/host/changes.js'
    import { ownNamespace } from 'src/host/namespace.js'
    import { readSysctl } from '../../src/host/sysctl.js'
import { native } from 'src/native.js'
    const namespace = ownNamespace()
    const claims = { wans: [{ namespace: namespace.id, interface: 'eth0', ports: '1-5', addresses: [] }], lan: { namespace: namespace.id, interface: 'tun0' } }
    const { journal, recovered } = await Journal.open('crash', claims)
    if (recovered !== null) console.log('recovered', recovered.undone.length)
    native().tunOpen('tun0', true, [])
    await reservePorts(journal, namespace, [{ first: 40000, last: 41000 }])
    await Lan.open({ namespace, name: 'tun0', address: ${ip('10.77.0.2')}, prefixLength: 24, mtu: 1500, capture: { iif: ['br0', 'lan1'] },
      wan: { namespace, names: ['eth0'], addresses: [] }, journal })
    console.log('up')
    setInterval(() => {}, 1000)`

  it('is undone from another namespace after the process was killed', async () => {
    const child = await startProgram(host, program)
    expect(host.snapshot()).not.toBe(before)
    expect(statSync(join(folder, 'crash/journal.json')).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'crash')).mode & 0o777).toBe(0o700)
    expect(runningInstances().map(({ name }) => name).sort()).toEqual(['crash', 'lan'])
    await expect(recover('crash')).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
    child.kill('SIGKILL')
    await until(() => child.signalCode !== null)
    const report = await recover('crash')
    expect(report!.failed).toEqual([])
    expect(report!.undone).toContain('reserved ports 40000-41000')
    expect(host.snapshot()).toBe(before)
    expect(await recover('crash')).toBeNull()
  })

  it('is undone by the next instance of the name', async () => {
    const first = await startProgram(host, program)
    first.kill('SIGKILL')
    await until(() => first.signalCode !== null && runningInstances().length === 1)
    const second = await startProgram(host, program)
    second.kill('SIGKILL')
    await until(() => second.signalCode !== null && runningInstances().length === 1)
    await recover('crash')
    expect(host.snapshot()).toBe(before)
  })

  it('undoes twice without harm, and passes over a namespace that is gone', async () => {
    await open()
    const copy = JSON.parse(readFileSync(join(folder, 'lan/journal.json'), 'utf8')) as { steps: unknown[] }
    expect(copy.steps.length).toBeGreaterThan(3)
    await shut()
    expect(await journal.undo()).toMatchObject({ undone: [], failed: [] })
    ;({ journal } = await Journal.open('lan', claims))
    await journal.apply({ kind: 'sysctl', namespace: { id: '4:1', path: '/run/netns/gone' }, key: 'net/ipv4/ip_forward', before: '0', after: '1' }, () => {})
    expect(await journal.undo()).toMatchObject({ undone: [], failed: [] })
    expect(host.snapshot()).toBe(before)
  })

  it('keeps a step that cannot be undone, and refuses to start over it', async () => {
    const { journal: five } = await Journal.open('five', claims)
    const file = join(folder, 'five', 'journal.json')
    const key = 'net/ipv4/ip_default_ttl'
    // The kernel accepts no such value, and the journal says that it was there before.
    const step: Step = { kind: 'sysctl', namespace: referenceTo(host.namespace), key, before: 'nonsense', after: readSysctl(host.namespace, key)! }
    await five.apply(step, () => {})
    const { failed } = await five.undo()
    expect(failed.map(({ what }) => what)).toEqual(['net.ipv4.ip_default_ttl = nonsense'])
    const left = JSON.parse(readFileSync(file, 'utf8')) as { steps: Step[] }
    expect(left.steps).toEqual([step])
    const dead = { ...left, pid: 2 ** 22 + 1 }
    writeFileSync(file, JSON.stringify(dead))
    await expect(Journal.open('five', claims)).rejects.toMatchObject({ code: 'RECOVERY', exitCode: 78 })
    rmSync(join(folder, 'five'), { recursive: true })
  })
})
