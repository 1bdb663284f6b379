import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { canReservePorts, reservePorts } from '../../src/host/changes.js'
import { Journal, recover } from '../../src/host/journal.js'
import type { Claims } from '../../src/host/journal.js'
import { formatPorts, parsePorts } from '../../src/host/port-set.js'
import { hostPorts, localPortRange, reservedPorts } from '../../src/host/ports.js'
import { preflight, requireTunDevice, requireUnclaimed } from '../../src/host/preflight.js'
import { readSysctl, writeSysctl } from '../../src/host/sysctl.js'
import { parseIpv4, parsePrefix } from '../../src/stack/wire/address.js'
import { runProgram, startProgram, testNamespace } from './host-support.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-host-'))
process.env['TSNAT_RUN_DIR'] = folder
afterAll(() => rmSync(folder, { recursive: true }))

const host = testNamespace()
const inner = testNamespace()
host.veth('eth0', inner, 'p0')
host.script('ip addr add 198.51.100.2/24 dev eth0', 'ip route add default via 198.51.100.1', 'ip route add 10.64.0.0/12 via 198.51.100.9')

const claimsFor = (wan = 'eth0', lan = 'tun0'): Claims => ({
  wans: [{ namespace: host.namespace.id, interface: wan, ports: '512-599,40000-49999', addresses: [] }],
  lan: { namespace: host.namespace.id, interface: lan },
})
const check = (subnet = '192.168.77.2/24', claims = claimsFor(), lanNamespace = host.namespace): Promise<void> => {
  const { address, length } = parsePrefix(subnet)!
  return preflight({ name: 'test', claims, wanNamespace: host.namespace, lanNamespace, subnet: { address, prefixLength: length } })
}

describe('preflight', () => {
  it('finds nothing wrong with a host in order', async () => {
    await check()
    await check('192.168.77.2/24', claimsFor(), inner.namespace)
  })

  it('lists interfaces when one is unknown', async () => {
    await expect(check(undefined, claimsFor('eth7'))).rejects.toMatchObject({
      code: 'UNKNOWN_INTERFACE', exitCode: 69, message: expect.stringContaining('there is no interface "eth7"') as string, hint: 'existing ones: eth0',
    })
  })

  it('refuses a TUN name that is taken', async () => {
    await expect(check(undefined, claimsFor('eth0', 'eth0'))).rejects.toMatchObject({ code: 'INTERFACE_IN_USE', hint: expect.stringContaining('--lan') as string })
  })

  it('refuses a subnet that the host has, and proposes another', async () => {
    await expect(check('198.51.100.9/30')).rejects.toMatchObject({
      code: 'ADDRESS_CLASH', exitCode: 78, message: 'the LAN subnet 198.51.100.8/30 overlaps 198.51.100.2/24 of eth0',
    })
    await expect(check('10.77.0.2/24')).rejects.toMatchObject({
      message: 'the LAN subnet 10.77.0.0/24 overlaps the route to 10.64.0.0/12 by eth0', hint: 'choose another with --lan-address, for example 10.80.0.2/24',
    })
    inner.run('ip addr add 192.168.0.1/16 dev p0')
    await expect(check('192.168.77.2/24', claimsFor(), inner.namespace)).rejects.toMatchObject({ code: 'ADDRESS_CLASH' })
    inner.run('ip addr flush dev p0')
  })

  it('refuses ports and addresses of the WAN that another instance has', async () => {
    const other = (ports: string | null, addresses: string[] = [], name = 'other') =>
      [{ name, pid: 77, claims: { ...claimsFor(), wans: [{ ...claimsFor().wans[0]!, ports, addresses }] } }]
    expect(() => requireUnclaimed('test', claimsFor(), other('50000-51000,599'))).toThrow(expect.objectContaining({
      code: 'WAN_IN_USE', exitCode: 69, message: 'interface "eth0" is in use by instance "other" (pid 77): both want ports 599',
    }) as Error)
    requireUnclaimed('test', claimsFor(), other('50000-51000'))
    requireUnclaimed('test', claimsFor('eth1'), other('50000-51000,599'))
    requireUnclaimed('test', claimsFor(), other('599', [], 'test'))
    requireUnclaimed('test', claimsFor(), other(null, ['198.51.100.7']))
    const owned = { ...claimsFor(), wans: [{ ...claimsFor().wans[0]!, ports: null, addresses: ['198.51.100.7'] }] }
    expect(() => requireUnclaimed('test', owned, other(null, ['198.51.100.8', '198.51.100.7']))).toThrow('both want address 198.51.100.7')
  })

  it('says what is missing: the TUN device, capabilities', async () => {
    expect(() => requireTunDevice('/dev/net/nothing')).toThrow(expect.objectContaining({ code: 'NO_TUN_DEVICE', exitCode: 69 }) as Error)
    // Dropping capabilities is for a process of its own.
    const output = await runProgram(host, `
      import { execFileSync } from 'node:child_process'
      import { requireCapabilities } from 'src/host/preflight.js'
      if (process.argv[2] === undefined) {
        const run = (set) => execFileSync('setpriv', ['--bounding-set', set, process.execPath, process.argv[1], 'child'], { encoding: 'utf8' })
        process.stdout.write(run('-net_raw,-net_admin') + run('-sys_admin'))
      } else {
        for (const foreign of [false, true]) {
          try {
            requireCapabilities(foreign)
            console.log('none missing')
          } catch (error) {
            console.log(error.message, '|', error.code, error.exitCode, error.hint)
          }
        }
      }`)
    expect(output.trim().split('\n')).toEqual([
      expect.stringMatching(/^missing CAP_NET_ADMIN and CAP_NET_RAW \| MISSING_CAPABILITY 77 run as root, .*setcap cap_net_admin,cap_net_raw\+ep/),
      expect.stringMatching(/^missing CAP_NET_ADMIN and CAP_NET_RAW \|/),
      'none missing',
      expect.stringMatching(/^missing CAP_SYS_ADMIN \(to enter the namespace of --netns\) \|/),
    ])
  })
})

describe('ports of the host', () => {
  afterEach(async () => { await recover('ports') })

  it('reads the local range, and reserves ports beside those of others', async () => {
    expect(localPortRange(host.namespace)).toEqual({ first: 32768, last: 60999 })
    host.run('sysctl -qw net.ipv4.ip_local_reserved_ports=8080,40000-40010')
    expect(canReservePorts(host.namespace)).toBe(true)
    const { journal } = await Journal.open('ports', claimsFor())
    await reservePorts(journal, host.namespace, parsePorts('512-599,40005-49999'))
    expect(formatPorts(reservedPorts(host.namespace))).toBe('512-599,8080,40000-49999')
    await reservePorts(journal, host.namespace, parsePorts('600'))
    await reservePorts(journal, host.namespace, parsePorts('600'))
    expect(journal.steps).toHaveLength(2)
    await journal.undo()
    expect(formatPorts(reservedPorts(host.namespace))).toBe('8080,40000-40010')
  })

  it('finds listeners and bound sockets of the namespace', async () => {
    const child = await startProgram(host, `
      import { createServer } from 'node:net'
      import { createSocket } from 'node:dgram'
      const listen = (port, address) => new Promise((done) => createServer().listen(port, address, done))
      const bind = (port, address, type = 'udp4') => new Promise((done) => createSocket(type).bind(port, address, done))
      await listen(8081, '198.51.100.2')
      await listen(8082, '0.0.0.0')
      await listen(8083, '127.0.0.1')
      await listen(8084, '::')
      await bind(9091, '198.51.100.2')
      await bind(9092, '127.0.0.1')
      await bind(9093, '::', 'udp6')
      console.log('up')`)
    try {
      const { tcp, udp } = hostPorts(host.namespace, [parseIpv4('198.51.100.2')!])
      expect(formatPorts(tcp)).toBe('8081-8082,8084')
      expect(formatPorts(udp)).toBe('9091,9093')
      expect(hostPorts(inner.namespace, [])).toEqual({ tcp: [], udp: [], udplite: [], sctp: [] })
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('names the sysctl that cannot be set', () => {
    expect(readSysctl(host.namespace, 'net/ipv4/nothing')).toBeNull()
    expect(() => writeSysctl(host.namespace, 'net/ipv4/nothing', '1')).toThrow(expect.objectContaining({ code: 'SYSCTL', message: 'cannot set net/ipv4/nothing to "1": ENOENT' }) as Error)
    expect(() => writeSysctl(host.namespace, 'net/ipv4/ip_local_port_range', 'x')).toThrow(expect.objectContaining({ message: expect.stringContaining('EINVAL') as string }) as Error)
  })
})
