import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command } from 'commander'
import { afterAll, describe, expect, it } from 'vitest'
import { createLog, prettyLine } from '../../src/cli/up/log.js'
import { addUpFlags, readUpFlags } from '../../src/cli/up/flags.js'
import { loadConfig } from '../../src/config-file.js'
import type { Config } from '../../src/config.js'
import { ExitCode, TsnatError } from '../../src/errors.js'
import { PROFILES } from '../../src/nat/profiles.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-up-'))
afterAll(() => rmSync(folder, { recursive: true }))

const config = (args: readonly string[], file?: string): Config => {
  const command = addUpFlags(new Command()).exitOverride()
  command.parse(args, { from: 'user' })
  const { config: raw, locate } = readUpFlags(command.opts())
  if (file === undefined) return loadConfig(undefined, raw, locate)
  const path = join(folder, 'tsnat.yaml')
  writeFileSync(path, file)
  return loadConfig(path, raw, locate)
}
const failure = (args: readonly string[], file?: string): TsnatError => {
  try {
    config(args, file)
  } catch (error) {
    if (error instanceof TsnatError) return error
    throw error
  }
  throw new Error('did not fail')
}

describe('flags of up', () => {
  it('give every key of the configuration', () => {
    expect(
      config([
        '--wan=eth1', '--lan=tun7', '--name=lab', '--lan-address=192.168.9.2/24', '--lan-mtu=9000', '--capture=iif=br0,lan1',
        '--wan-address=owned:198.51.100.7/24,198.51.100.8/24', '--wan-gateway=198.51.100.1', '--wan-driver=packet', '--dead-flows=leave', '--ports=1024-2047',
        '--import-kernel-routes', '--no-mss-clamp', '--lan-offload=off', '--wan-offload=on', '--busy-poll=50', '--timeout=udp=30', '--timeout', 'tcp-established=99',
        '--nat=udp.filtering=endpoint-independent', '--nat', 'ports.hold=7', '--nat-rule=from=10.0.0.0/8,ports=53+99-100,translate=false', '--profile=linux', '--forward=tcp:8080:192.168.9.3:80', '--forward', 'udp:53:192.168.9.3:53',
        '--limit', 'fragment-bytes=70000', '--fault=lan.in.loss=0.05', '--fault', 'wan.out.seed=9', '--log-level=debug', '--log-format=json',
        '--log-bindings=flows', '--log-destinations', '--log-syslog=unix:/dev/log', '--log-nflog=/var/log/tsnat', '--socket=/tmp/s.sock',
      ]),
    ).toEqual({
      name: 'lab',
      wans: [{ interface: 'eth1', address: { owned: ['198.51.100.7/24', '198.51.100.8/24'] }, gateway: '198.51.100.1', weight: null, metric: null, check: null }],
      wanDriver: 'packet',
      deadFlows: 'leave',
      ports: '1024-2047',
      lan: 'tun7',
      lanAddress: '192.168.9.2/24',
      lanMtu: 9000,
      capture: { iif: ['br0', 'lan1'] },
      importKernelRoutes: true,
      mssClamp: false,
      offload: { lan: false, wan: true },
      profile: 'linux',
      nat: {
        ...PROFILES.linux.nat,
        udp: { ...PROFILES.linux.nat.udp, filtering: 'endpoint-independent' },
        ports: { ...PROFILES.linux.nat.ports, hold: 7 },
        rules: [{ from: '10.0.0.0/8', ports: '53,99-100', translate: false }],
      },
      forwards: ['tcp:8080:192.168.9.3:80', 'udp:53:192.168.9.3:53'],
      timeouts: { ...PROFILES.linux.timeouts, udp: 30, tcpEstablished: 99 },
      limits: { ...PROFILES.linux.limits, fragmentBytes: 70000 },
      fault: {
        lan: { in: { loss: 0.05, duplicate: 0, corrupt: 0, reorder: 0, seed: 1 } },
        wan: { out: { loss: 0, duplicate: 0, corrupt: 0, reorder: 0, seed: 9 } },
      },
      log: { level: 'debug', format: 'json', bindings: 'flows', destinations: true, syslog: 'unix:/dev/log', nflog: { directory: '/var/log/tsnat', fileBytes: 104857600, files: 10 } },
      socket: '/tmp/s.sock',
      busyPoll: 50,
    })
  })

  it('win over the file, and leave the rest of it', () => {
    const file = 'wan: eth0\nmssClamp: false\ntimeouts: { udp: 60, icmp: 30 }\nwanAddress: { owned: [198.51.100.7/24] }\n'
    const result = config(['--mss-clamp', '--timeout', 'udp=10', '--wan-gateway', '198.51.100.1'], file)
    expect(result).toMatchObject({ mssClamp: true, wans: [{ interface: 'eth0', address: { owned: ['198.51.100.7/24'] }, gateway: '198.51.100.1' }] })
    expect(result.timeouts).toMatchObject({ udp: 10, icmp: 30 })
    expect(config([], file).mssClamp).toBe(false)
  })

  it('name several WANs', () => {
    const { wans } = config([
      '--wan', 'eth0', '--wan', 'eth1,weight=2,metric=50,gateway=192.0.2.254,check=icmp:192.0.2.1,interval=0.5,timeout=1,fails=2,passes=1',
      '--wan', 'eth2,address=owned:198.51.100.7/24+198.51.100.8/24,check=arp', '--wan', 'eth3,address=shared,check=http://192.0.2.1:8080/up,expect=204',
      '--wan', 'eth4,check=tcp:192.0.2.1:443', '--wan-address', 'owned:203.0.113.5/24',
    ])
    const plain = { address: 'shared', gateway: null, weight: null, metric: null, check: null }
    const check = { interval: 5, timeout: 1.5, fails: 3, passes: 3 }
    expect(wans).toEqual([
      { ...plain, interface: 'eth0', address: { owned: ['203.0.113.5/24'] } },
      {
        ...plain, interface: 'eth1', weight: 2, metric: 50, gateway: '192.0.2.254',
        check: { type: 'icmp', target: '192.0.2.1', interval: 0.5, timeout: 1, fails: 2, passes: 1 },
      },
      { ...plain, interface: 'eth2', address: { owned: ['198.51.100.7/24', '198.51.100.8/24'] }, check: { ...check, type: 'arp' } },
      { ...plain, interface: 'eth3', check: { ...check, type: 'http', target: 'http://192.0.2.1:8080/up', expect: 204 } },
      { ...plain, interface: 'eth4', check: { ...check, type: 'tcp', target: '192.0.2.1:443' } },
    ])
    expect(config(['--wan', 'eth1,check=none']).wans).toEqual([{ ...plain, interface: 'eth1' }])
    expect(config(['--wan', 'eth1'], 'wan: [eth5, eth6]\n').wans.map(({ interface: name }) => name)).toEqual(['eth1'])
  })

  it.each([
    [['--wan', 'eth1,weight=0'], '--wan: wan.1.weight is 0, but must be a whole number from 1 to 256'],
    [['--wan', 'eth1,wieght=2'], '--wan: wan.1.wieght is not a known key'],
    [['--wan', 'eth1,weight'], '--wan weight: there is no "="'],
    [['--wan', 'a/b'], '--wan: wan.1 is "a/b", but must be an interface name'],
    [['--wan', 'eth1,check=ping'], '--wan: wan.1.check.type is "ping", but must be one of icmp, tcp, http, arp, none'],
    [['--wan', 'eth0'], '--wan: interface "eth0" is a WAN twice'],
    [['--dead-flows', 'kill'], '--dead-flows: deadFlows is "kill", but must be one of reset, icmp, leave'],
    [['--lan-mtu', 'big'], '--lan-mtu: lanMtu is "big", but must be a whole number from 576 to 65535'],
    [['--timeout', 'udp=soon'], '--timeout udp: timeouts.udp is "soon", but must be'],
    [['--nat', 'udp.mapping=cone'], '--nat udp.mapping: nat.udp.mapping is "cone", but must be one of'],
    [['--nat', 'sctp.mapping=shared'], '--nat sctp.mapping: nat.sctp is not a known key'],
    [['--forward', 'tcp:8080'], '--forward: forwards.0 is "tcp:8080", but must be such as'],
    [['--timeout', 'upd=1'], '--timeout upd: timeouts.upd is not a known key'],
    [['--timeout', '=1'], '--timeout =1: there is no "="'],
    [['--fault', 'lan.loss=0.1'], '--fault lan.loss: fault.lan.loss is not a known key'],
    [['--fault', 'lan.in.loss=2'], '--fault lan.in.loss: fault.lan.in.loss is 2, but must be a number from 0 to 1'],
    [['--capture', 'all'], '--capture: capture is "all", but must be "default", "none"'],
    [['--capture', 'iif='], '--capture: capture.iif.0 is "", but must be an interface name'],
    [['--wan-address', 'owned:10.0.0.1'], '--wan-address: wanAddress.owned.0 is "10.0.0.1", but must be'],
    [['--wan-gateway', '10.0.0.1'], 'wanAddress.owned is missing; it must be a list'],
    [['--wan-address', 'shared', '--wan-gateway', '10.0.0.1'], '--wan-gateway 10.0.0.1 is for owned addresses, but --wan-address is shared'],
    [['--lan', 'eth0'], '--lan: lan and wan are both "eth0"'],
  ])('are blamed by their own name: %j', (args, message) => {
    const error = failure(['--wan', 'eth0', ...args])
    expect(error.message).toContain(message)
    expect(error.exitCode).toBe(ExitCode.usage)
  })

  it('are not blamed for the file', () => {
    expect(failure(['--wan', 'eth0'], 'lanMtu: 1\n')).toMatchObject({ exitCode: ExitCode.config, message: expect.stringContaining('tsnat.yaml:1:1: lanMtu is 1') })
  })
})

describe('log', () => {
  it('does not repeat as fields what the message of a logged packet says', () => {
    const record = { level: 40, time: 0, packet: { SRC: '10.0.0.2' }, msg: 'drop: SRC=10.0.0.2' }
    expect(prettyLine(JSON.stringify(record), new PassThrough())).toMatch(/ warn {2}drop: SRC=10\.0\.0\.2\n$/)
  })

  const lines = (format: 'json' | 'pretty' | 'auto', isTTY: boolean): string => {
    const stream = Object.assign(new PassThrough(), { isTTY })
    const log = createLog({ name: 'lab', log: { level: 'info', format } }, stream)
    log.info({ wan: 'eth0', mtu: 1500, note: 'two words' }, 'up')
    log.debug('not shown')
    return String(stream.read())
  }

  it('is JSON where nobody reads', () => {
    expect(JSON.parse(lines('auto', false))).toMatchObject({ level: 30, name: 'lab', pid: process.pid, wan: 'eth0', msg: 'up' })
    expect(JSON.parse(lines('json', true))).toMatchObject({ msg: 'up' })
  })

  it('is readable on a terminal', () => {
    expect(lines('pretty', false)).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}up wan=eth0 mtu=1500 note="two words"\n$/)
  })

  it('shows the stack of an error', () => {
    const stream = new PassThrough()
    createLog({ name: 'lab', log: { level: 'info', format: 'pretty' } }, stream).error({ err: new Error('broken'), fd: 3 }, 'worker')
    expect(String(stream.read())).toMatch(/ error worker fd=3\nError: broken\n {4}at /)
    expect(prettyLine('{"level":99,"time":0}', stream)).toContain('info ')
  })

  it('goes on when the terminal is gone', () => {
    const stream = new PassThrough()
    const log = createLog({ name: 'lab', log: { level: 'info', format: 'json' } }, stream)
    stream.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    log.info('still here')
  })
})
