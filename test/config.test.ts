import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { configJsonSchema, parseConfig } from '../src/config.js'
import { loadConfig, mergeConfig, parseConfigText } from '../src/config-file.js'
import { ExitCode, TsnatError } from '../src/errors.js'
import { PROFILES } from '../src/nat/profiles.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const failure = (run: () => unknown): TsnatError => {
  try {
    run()
  } catch (error) {
    if (error instanceof TsnatError) return error
    throw error
  }
  throw new Error('did not fail')
}
const complaint = (input: unknown): string => failure(() => parseConfig(input)).message

/** RFC 4787 with the filter that it recommends where strictness counts. */

describe('parseConfig', () => {
  it('fills in what a redirector is not told', () => {
    expect(parseConfig({ wan: 'eth0', redirect: { to: 'socks5://192.0.2.1' } }).redirect).toEqual({
      to: 'socks5://192.0.2.1', protocols: ['tcp', 'udp'], by: 'tproxy', port: 1080, exclude: [], rules: true,
    })
    expect(complaint({ wan: 'eth0', redirect: { to: 'http://192.0.2.1' } })).toMatch(/^redirect.to is "http:\/\/192.0.2.1", but must be such as socks5:/)
    expect(complaint({ wan: 'eth0', redirect: {} })).toMatch(/^redirect.to is missing/)
    expect(complaint({ wan: 'eth0', redirect: { to: 'socks5://192.0.2.1', exclude: ['10.0.0.0/33'] } })).toMatch(/must be an address or a prefix/)
  })

  it('needs no more than the WAN interface and fills in every default', () => {
    expect(parseConfig({ wan: 'eth0' })).toEqual({
      name: 'default',
      wans: [{ interface: 'eth0', address: 'shared', gateway: null, weight: null, metric: null, check: null }],
      wanDriver: 'packet',
      deadFlows: 'reset',
      lan: 'tun0',
      lanAddress: '10.77.0.2/24',
      capture: 'default',
      importKernelRoutes: false,
      mssClamp: true,
      offload: { lan: true, wan: true },
      profile: 'behave',
      ...PROFILES.behave,
      forwards: [],
      fault: {},
      log: { level: 'info', format: 'auto', bindings: 'off', destinations: false, syslog: 'off', nflog: { fileBytes: 104_857_600, files: 10 } },
      socket: '/run/tsnat/default/control.sock',
      busyPoll: 50,
    })
  })

  it('takes every key', () => {
    const full = {
      name: 'lab-2',
      wanDriver: 'packet',
      deadFlows: 'icmp',
      ports: '512-599,1024,36864-60999',
      lan: 'tsnat0',
      lanAddress: '192.168.5.6/29',
      lanMtu: 9000,
      capture: { iif: ['br0', 'lan1'] },
      importKernelRoutes: true,
      mssClamp: false,
      offload: { lan: false, wan: false },
      nat: {
        tcp: { mapping: 'shared', filtering: 'address-and-port-dependent', states: 'netfilter', window: false, pickup: true, unsolicitedSyn: 'drop' },
        udp: { mapping: 'address-dependent', filtering: 'endpoint-independent' },
        icmp: { mapping: 'address-and-port-dependent', filtering: 'address-dependent' },
        otherProtocols: 'by-address',
        verifyChecksums: false,
        forgetWhenDown: false,
        ports: { selection: 'random', parity: true, hold: 0, holdMax: 7, blockSize: 512, blocksPerHost: 2 },
        pool: '198.51.100.7,198.51.100.9-198.51.100.12,198.18.0.0/30',
        pooling: 'paired-soft',
        deterministic: { inside: '192.168.5.0/29', reserved: 2048, dynamic: 2, perHost: 30000 },
        rules: [{ from: '192.168.5.0/30', to: '0.0.0.0/0', protocol: 'udp', ports: '53,5000-5010', mapping: 'shared', filtering: 'address-dependent', selection: 'sequential', flows: 7, translate: false }],
      },
      profile: 'linux',
      forwards: ['tcp:8080:192.168.5.1:80', 'udp:5000-5010:192.168.5.1:6000@198.51.100.0/24'],
      timeouts: { ...PROFILES.linux.timeouts, udp: 1, fragments: 2, tcpSynSent: 4 },
      limits: {
        flows: 1, flowsPerSource: 2, newFlowsPerSource: 3, halfOpen: 4, halfOpenPerSource: 5, fragmentBytes: 65536, icmpErrorsPerSecond: 0, sockets: 16,
        refusal: 'silent', makeRoom: false,
      },
      fault: { lan: { in: { loss: 0.5, duplicate: 0, corrupt: 1, reorder: 0.25, seed: 7 } }, wan: {} },
      log: { level: 'debug', format: 'pretty', bindings: 'mappings', destinations: true, syslog: 'udp:192.0.2.1:514', nflog: { directory: '/var/log/tsnat', fileBytes: 65_536, files: 3 } },
      socket: '/tmp/x.sock',
      busyPoll: 50,
    }
    const address = { owned: ['198.51.100.7/24', '198.51.100.8/24'] }
    expect(parseConfig({ ...full, wan: 'enp3s0.100', wanAddress: { ...address, gateway: '198.51.100.1' } })).toEqual({
      ...full, wans: [{ interface: 'enp3s0.100', address, gateway: '198.51.100.1', weight: null, metric: null, check: null }],
    })
  })

  it('fills in the other probabilities of a fault', () => {
    expect(parseConfig({ wan: 'eth0', fault: { wan: { out: { loss: 0.05 } } } }).fault).toEqual({
      wan: { out: { loss: 0.05, duplicate: 0, corrupt: 0, reorder: 0, seed: 1 } },
    })
  })

  it('takes a process id as a network namespace', () => {
    expect(parseConfig({ wan: 'eth0', netns: 4711 }).netns).toBe('4711')
    expect(parseConfig({ wan: 'eth0', netns: '/run/netns/a' }).netns).toBe('/run/netns/a')
  })

  it('puts the socket into the instance folder', () => {
    expect(parseConfig({ wan: 'eth0', name: 'b' }).socket).toBe('/run/tsnat/b/control.sock')
  })

  it('says how to name the WAN interface', () => {
    const error = failure(() => parseConfig({}))
    expect(error).toMatchObject({ code: 'CONFIG_NO_WAN', exitCode: ExitCode.config, message: 'no WAN interface is given' })
    expect(error.hint).toBe('name it with --wan eth0, or "wan: eth0" in the configuration file')
  })

  it.each([
    [{ wan: 'eth0', wanDrvier: 'raw' }, 'wanDrvier', 'did you mean "wanDriver"? Known here: name, wan, '],
    [{ wan: 'eth0', 'wan-driver': 'raw' }, 'wan-driver', 'did you mean "wanDriver"? '],
    [{ wan: 'eth0', limits: { flow: 5 } }, 'limits.flow', 'did you mean "flows"? Known here: flows, flowsPerSource, '],
    [{ wan: 'eth0', timeouts: { zebra: 5 } }, 'timeouts.zebra', 'Known here: udp, udpStream, icmp, tcpSynSent, '],
    [{ wan: 'eth0', capture: { iiff: ['a'] } }, 'capture.iiff', 'did you mean "iif"? Known here: iif'],
    [{ wan: 'eth0', wanAddress: { ownd: ['198.51.100.7/24'] } }, 'wanAddress.ownd', 'did you mean "owned"? Known here: owned, gateway'],
    [{ wan: 'eth0', fault: { lan: { in: { los: 1 } } } }, 'fault.lan.in.los', 'did you mean "loss"? Known here: loss, duplicate, corrupt, reorder, seed'],
  ])('names an unknown key and the nearest known one: %j', (input, name, hint) => {
    const error = failure(() => parseConfig(input))
    expect(error).toMatchObject({ code: 'CONFIG_UNKNOWN_KEY', message: `${name} is not a known key` })
    expect(error.hint).toContain(hint)
  })

  it.each([
    [{ wan: 'eth0', nat: { udp: { mapping: 'cone' } } }, 'nat.udp.mapping is "cone", but must be one of endpoint-independent, address-dependent'],
    [{ wan: 'eth0', nat: { tcp: { filtering: 'shared' } } }, 'nat.tcp.filtering is "shared", but must be one of endpoint-independent'],
    [{ wan: 'eth0', nat: { ports: { hold: -1 } } }, 'nat.ports.hold is -1, but must be a whole number from 0 to 86400'],
    [{ wan: 'eth0', forwards: 'tcp:80:10.0.0.2:80' }, 'forwards is "tcp:80:10.0.0.2:80", but must be a list'],
    [{ wan: 'eth0', forwards: ['icmp:80:10.0.0.2:80'] }, 'forwards.0 is "icmp:80:10.0.0.2:80", but must be such as "tcp:8080:10.77.0.2:80"'],
    [{ wan: 'eth0', forwards: ['tcp:9-8:10.0.0.2:80'] }, 'forwards.0 is "tcp:9-8:10.0.0.2:80", but must be such as'],
    [{ name: 'Büro' }, 'name is "Büro", but must be 1 to 15 characters out of a-z, 0-9 and "-"'],
    [{ name: 'sixteen-letters-' }, 'name is "sixteen-letters-", but must be 1 to 15'],
    [{ wan: 'eth 0' }, 'wan is "eth 0", but must be an interface name'],
    [{ wan: '..' }, 'wan is "..", but must be an interface name'],
    [{ wan: 7 }, 'wan is 7, but must be an interface name'],
    [{ lan: 'interface-too-long' }, 'lan is "interface-too-long", but must be an interface name'],
    [{ wanDriver: 'dpdk' }, 'wanDriver is "dpdk", but must be one of packet, raw'],
    [{ wanAddress: 'mine' }, 'wanAddress is "mine", but must be "shared" or a mapping with the key "owned"'],
    [{ wanAddress: {} }, 'wanAddress.owned is missing; it must be a list'],
    [{ wanAddress: { owned: [] } }, 'wanAddress.owned is [], but must not be an empty list'],
    [{ wanAddress: { owned: ['198.51.100.7'] } }, 'wanAddress.owned.0 is "198.51.100.7", but must be an IPv4 address with prefix length'],
    [{ wanAddress: { owned: ['198.51.100.7/33'] } }, 'wanAddress.owned.0 is "198.51.100.7/33", but must be'],
    [{ wanAddress: { owned: ['198.51.100.7/24'], gateway: '300.1.1.1' } }, 'wanAddress.gateway is "300.1.1.1", but must be an IPv4 address'],
    [{ ports: '0-5' }, 'ports is "0-5", but must be a list of ports and ranges'],
    [{ ports: '5-4' }, 'ports is "5-4", but'],
    [{ ports: '65536' }, 'ports is "65536", but'],
    [{ ports: '1,,2' }, 'ports is "1,,2", but'],
    [{ ports: 1024 }, 'ports is 1024, but'],
    [{ lanAddress: '10.77.0.1/24' }, 'lanAddress is "10.77.0.1/24", but must be a host address'],
    [{ lanAddress: '10.77.0.0/24' }, 'lanAddress is "10.77.0.0/24", but'],
    [{ lanAddress: '10.77.0.255/24' }, 'lanAddress is "10.77.0.255/24", but'],
    [{ lanAddress: '10.77.0.2/31' }, 'lanAddress is "10.77.0.2/31", but'],
    [{ lanAddress: '10.77.0.2' }, 'lanAddress is "10.77.0.2", but'],
    [{ lanMtu: 575 }, 'lanMtu is 575, but must be a whole number from 576 to 65535'],
    [{ lanMtu: 1500.5 }, 'lanMtu is 1500.5, but must be a whole number'],
    [{ capture: 'all' }, 'capture is "all", but must be "default", "none" or a mapping with the key "iif"'],
    [{ capture: { iif: [] } }, 'capture.iif is [], but must not be an empty list'],
    [{ capture: { iif: 'br0' } }, 'capture.iif is "br0", but must be a list'],
    [{ capture: { iif: ['a b'] } }, 'capture.iif.0 is "a b", but must be an interface name'],
    [{ netns: '' }, 'netns is "", but must be the name, path or process id'],
    [{ mssClamp: 'yes' }, 'mssClamp is "yes", but must be true or false'],
    [{ offload: { lan: 'on' } }, 'offload.lan is "on", but must be true or false'],
    [{ offload: null }, 'offload is null, but must be a mapping'],
    [{ timeouts: { udp: 0 } }, 'timeouts.udp is 0, but must be a whole number from 1 to 2592000'],
    [{ timeouts: { udp: '30s' } }, 'timeouts.udp is "30s", but must be a whole number'],
    [{ limits: { flows: 0 } }, 'limits.flows is 0, but must be a whole number from 1 to 16777216'],
    [{ fault: { lan: { in: { loss: 1.5 } } } }, 'fault.lan.in.loss is 1.5, but must be a number from 0 to 1'],
    [{ log: { level: 'loud' } }, 'log.level is "loud", but must be one of trace, debug, info, warn, error, fatal, silent'],
    [{ log: { bindings: 'all' } }, 'log.bindings is "all", but must be one of off, mappings, flows, blocks'],
    [{ log: { syslog: 'udp:192.0.2.1' } }, 'log.syslog is "udp:192.0.2.1", but must be "off", "unix:/dev/log" or another path, or "udp:HOST:PORT"'],
    [{ socket: 'control.sock' }, 'socket is "control.sock", but must be an absolute path of at most 107 bytes'],
    [{ socket: `/${'x'.repeat(107)}` }, 'but must be an absolute path of at most 107 bytes'],
    [{ busyPoll: -1 }, 'busyPoll is -1, but must be a whole number from 0'],
  ])('names path, value and rule: %j', (input, message) => {
    expect(complaint({ wan: 'eth0', ...input })).toContain(message)
  })

  it('explains a key in the hint', () => {
    expect(failure(() => parseConfig({ wan: 'eth0', limits: { flows: 0 } })).hint).toBe(
      'limits.flows: Flows at most. At the limit a new flow is refused.',
    )
  })

  it.each([
    [{ lan: 'eth0' }, 'lan and wan are both "eth0"'],
    [{ wanDriver: 'raw', wanAddress: { owned: ['198.51.100.7/24'] } }, 'wanDriver "raw" cannot have an owned address'],
    [{ wanDriver: 'raw', forwards: ['gre:10.0.0.2', 'icmp:10.0.0.2'] }, 'wanDriver "raw" cannot forward pings ("icmp:10.0.0.2")'],
    [{ netns: 'x', capture: { iif: ['br0'] } }, 'capture by iif and netns cannot go together'],
    [{ capture: { iif: ['br0', 'eth0'] } }, 'capture.iif names "eth0", the WAN itself'],
    [{ capture: { iif: ['tun0'] } }, 'capture.iif names "tun0", the TUN itself'],
    [{ nat: { ports: { selection: 'fully-random' } } }, 'nat.ports.selection is "fully-random", but nat.tcp.mapping is "endpoint-independent"'],
    [
      { profile: 'linux', nat: { udp: { mapping: 'address-dependent' }, ports: { selection: 'fully-random' } } },
      'nat.ports.selection is "fully-random", but nat.udp.mapping is "address-dependent"',
    ],
    [{ nat: { rules: [{ mapping: 'shared' }, { selection: 'fully-random' }] } }, 'a rule\'s selection is "fully-random", but its mapping is "endpoint-independent"'],
    [{ profile: 'linux', nat: { rules: [{ selection: 'fully-random', mapping: 'address-dependent' }] } }, 'a rule\'s selection is "fully-random", but its mapping is "address-dependent"'],
    [{ nat: { deterministic: { inside: '10.77.0.0/28' } } }, 'deterministic NAT needs all ports of its addresses, but they are shared with the host'],
    [
      { wanAddress: { owned: ['203.0.113.1/24'] }, nat: { deterministic: { inside: '10.0.0.0/8' } } },
      'nat.deterministic: 16777214 hosts on 1 address leave no port for each',
    ],
    [
      { wanAddress: { owned: ['203.0.113.1/24'] }, nat: { pool: '198.18.0.0/30', deterministic: { inside: '10.77.0.0/29', perHost: 30000 } } },
      'nat.deterministic: perHost is 30000, but each host has 32256 ports of its own',
    ],
  ])('refuses what does not go together: %j', (input, message) => {
    expect(failure(() => parseConfig({ wan: 'eth0', ...input }))).toMatchObject({ code: 'CONFIG_CONFLICT', message, exitCode: ExitCode.config })
  })

  it('takes fully random ports where each flow has a mapping of its own', () => {
    const selection = 'fully-random'
    expect(parseConfig({ wan: 'eth0', profile: 'linux', nat: { ports: { selection } } }).nat.ports.selection).toBe(selection)
    expect(parseConfig({ wan: 'eth0', nat: { rules: [{ selection, mapping: 'address-and-port-dependent' }] } }).nat.rules).toHaveLength(1)
    expect(parseConfig({ wan: 'eth0', nat: { udp: { mapping: 'shared' }, rules: [{ selection, protocol: 'udp' }] } }).nat.rules).toHaveLength(1)
  })

  it.each([[null], [[]], ['eth0'], [5]])('wants a mapping: %j', (input) => {
    expect(complaint(input)).toBe(`the configuration is ${JSON.stringify(input)}, but must be a mapping of keys to values`)
  })

  it('blames a flag as a usage error', () => {
    const error = failure(() => parseConfig({ wan: 'eth0', timeouts: { udp: 0 } }, () => ({ text: '--timeout udp', flag: true })))
    expect(error).toMatchObject({ message: '--timeout udp: timeouts.udp is 0, but must be a whole number from 1 to 2592000', exitCode: ExitCode.usage })
  })
})

describe('loadConfig', () => {
  const file = (text: string): string => {
    const path = join(folder, 'tsnat.yaml')
    writeFileSync(path, text)
    return path
  }

  it('reads YAML and lays flags over it', () => {
    const path = file('wan: eth1\nlimits:\n  flows: 1000\n  fragmentBytes: 70000\ncapture:\n  iif: [a, b]\n')
    const config = loadConfig(path, { limits: { flows: 5 }, capture: 'none', wan: 'eth2' })
    expect(config.limits).toMatchObject({ flows: 5, fragmentBytes: 70000 })
    expect(config).toMatchObject({ capture: 'none', wans: [{ interface: 'eth2' }] })
  })

  it('gives line and column of a bad value, of an unknown key, and of bad YAML', () => {
    const path = file('wan: eth0\n\nlimits:\n  flows: many\n')
    expect(failure(() => loadConfig(path)).message).toBe(`${path}:4:3: limits.flows is "many", but must be a whole number from 1 to 16777216`)
    file('wan: eth0\ntimeouts: { udp: 30, ucmp: 30 }\n')
    expect(failure(() => loadConfig(path)).message).toBe(`${path}:2:22: timeouts.ucmp is not a known key`)
    file('wan: [eth0\nlan: x\n')
    expect(failure(() => loadConfig(path))).toMatchObject({ code: 'CONFIG_SYNTAX', exitCode: ExitCode.config })
    expect(failure(() => loadConfig(path)).message).toMatch(new RegExp(`^${path}:\\d+:\\d+: `))
    file('wan: eth0\nwan: eth1\n')
    expect(failure(() => loadConfig(path)).message).toContain(`${path}:2:1: `)
    file('wan: *nowhere\n')
    expect(failure(() => loadConfig(path)).code).toBe('CONFIG_SYNTAX')
    file('wan: eth0\nlan: eth0\n')
    expect(failure(() => loadConfig(path)).message).toBe(`${path}:2:1: lan and wan are both "eth0"`)
  })

  it('takes an empty file', () => {
    const path = file('# nothing\n')
    expect(loadConfig(path, { wan: 'eth0' }).wans[0]!.interface).toBe('eth0')
    expect(failure(() => loadConfig(path)).code).toBe('CONFIG_NO_WAN')
  })

  it('blames the command line when there is no file', () => {
    expect(failure(() => loadConfig(undefined))).toMatchObject({ message: 'no WAN interface is given', exitCode: ExitCode.usage })
  })

  it('says why a file cannot be read', () => {
    expect(failure(() => loadConfig(join(folder, 'none.yaml')))).toMatchObject({ code: 'CONFIG_READ', exitCode: ExitCode.config })
    expect(failure(() => loadConfig(join(folder, 'none.yaml'))).message).toContain('it or its folder does not exist')
    expect(failure(() => loadConfig(folder)).message).toContain('it is a directory')
  })

  it('does not merge into what is no mapping', () => {
    expect(mergeConfig([], { wan: 'eth0' })).toEqual([])
    expect(failure(() => loadConfig(file('- wan\n'), { wan: 'eth0' })).message).toContain('must be a mapping')
  })
})

describe('the shipped schema', () => {
  interface Node { properties?: Record<string, Node>; anyOf?: Node[]; items?: Node; description?: string; default?: unknown }
  const walk = (node: Node, path: string[], visit: (path: string[], node: Node) => void): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      visit([...path, key], child)
      walk(child, [...path, key], visit)
    }
    for (const child of node.anyOf ?? []) walk(child, path, visit)
  }
  const keys = (): Map<string, Node> => {
    const found = new Map<string, Node>()
    walk(configJsonSchema() as Node, [], (path, node) => found.set(path.join('.'), node))
    return found
  }

  it('describes every key and forbids others', () => {
    for (const [path, node] of keys()) expect(node.description, path).toMatch(/\.$/)
    expect(configJsonSchema()).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', additionalProperties: false })
    expect(configJsonSchema()).not.toHaveProperty('required')
  })

  it('has every key in docs/configuration.md', () => {
    const docs = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8')
    for (const path of keys().keys()) {
      const name = path.replace(/^fault\.(lan|wan)(\.(in|out))?/, (_, __, direction: string | undefined) => (direction === undefined ? 'fault.SIDE' : 'fault.SIDE.DIRECTION'))
      expect(docs, path).toContain(`\`${name}\``)
    }
  })

  it('agrees with the example file, which shows the defaults', () => {
    const example = readFileSync(new URL('../examples/tsnat.yaml', import.meta.url), 'utf8')
    expect(parseConfig(parseConfigText(example, 'tsnat.yaml').value)).toEqual(parseConfig({ wan: 'eth0' }))
  })
})
