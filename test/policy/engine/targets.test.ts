import { describe, expect, it } from 'vitest'
import {
  ACCEPT, AFTER_TRACKING, BEFORE_TRACKING, DROP, netmapAddress, NO_SOCKET, REJECT, SYNPROXY, TPROXY,
} from '../../../src/policy/engine/index.js'
import type { PacketMeta } from '../../../src/policy/engine/packet-meta.js'
import { HOOK_NAMES, REJECT_KINDS, STATE } from '../../../src/policy/model.js'
import { Bed, ip, packetOf, tableNumber } from './support.js'

const mangle = (rules: string): Bed => new Bed(`*mangle\n${rules}\nCOMMIT`)
/** What a list of targets in mangle FORWARD makes of a packet. */
const after = (targets: readonly string[], change: Partial<PacketMeta> = {}): Bed['evaluator']['outcome'] =>
  mangle(targets.map((target) => `-A FORWARD -j ${target}`).join('\n')).run('FORWARD', packetOf(change))

describe('REJECT', () => {
  it.each(REJECT_KINDS)('says with %s what the sender is told', (kind) => {
    const bed = new Bed(`-A FORWARD -p tcp -j REJECT --reject-with ${kind}`)
    const outcome = bed.run('FORWARD', packetOf())
    expect([outcome.verdict, outcome.rejectKind]).toEqual([REJECT, kind])
  })
})

describe('MARK and CONNMARK', () => {
  it('change what later rules see, and what comes out', () => {
    const bed = mangle('-A FORWARD -j MARK --set-mark 0xf0000001\n-A FORWARD -m mark --mark 0xf0000001 -j MARK --or-mark 2\n-A FORWARD -j MARK --and-mark 0xff000003')
    expect(bed.run('FORWARD', packetOf()).mark).toBe(0xf0000003)
    expect(after(['MARK --xor-mark 3'], { mark: 5 }).mark).toBe(6)
    expect(after(['MARK --set-xmark 0x10/0xf0'], { mark: 0x8000_00ff }).mark).toBe(0x8000_001f)
  })

  it('save the mark in the flow, and restore it', () => {
    expect(after(['CONNMARK --save-mark --nfmask 0xf0 --ctmask 0xff'], { mark: 0x35, connmark: 0x1ff })).toMatchObject({ mark: 0x35, connmark: 0x130 })
    expect(after(['CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf0'], { mark: 0x1ff, connmark: 0x35 })).toMatchObject({ mark: 0x130, connmark: 0x35 })
    expect(after(['CONNMARK --set-mark 7', 'CONNMARK --restore-mark'], { connmark: 1 })).toMatchObject({ mark: 7, connmark: 7 })
  })

  it('leave packets without a flow alone', () => {
    expect(after(['CONNMARK --set-mark 7', 'CONNMARK --restore-mark'], { mark: 3, state: STATE.INVALID })).toMatchObject({ mark: 3, connmark: 0 })
  })
})

describe('TOS and DSCP', () => {
  it('come out as one change that does to any packet what the rules did', () => {
    const targets = ['TOS --set-tos 0x12/0x3f', 'DSCP --set-dscp 46', 'TOS --xor-tos 0x81']
    const { tosKeep, tosFlip } = after(targets)
    for (let tos = 0; tos < 256; tos++) {
      const outcome = after(targets, { tos })
      expect(outcome.tos).toBe((tos & tosKeep) ^ tosFlip)
      expect(outcome.tos).toBe((((((tos & ~0x3f) ^ 0x12) & 3) | (46 << 2)) ^ 0x81) & 0xff)
    }
  })

  it('are seen by later rules', () => {
    const bed = mangle('-A FORWARD -j DSCP --set-dscp 10\n-A FORWARD -m dscp --dscp 10 -j DROP')
    expect(bed.verdict(packetOf())).toBe(DROP)
  })
})

describe('TTL', () => {
  it('is set, raised and lowered within its range', () => {
    expect(after(['TTL --ttl-set 10', 'TTL --ttl-inc 3'])).toMatchObject({ ttl: 13, ttlSet: 10, ttlDelta: 3 })
    expect(after(['TTL --ttl-inc 3'], { ttl: 254 })).toMatchObject({ ttl: 255, ttlSet: -1, ttlDelta: 3 })
    expect(after(['TTL --ttl-dec 3'], { ttl: 2 })).toMatchObject({ ttl: 0, ttlDelta: -3 })
    expect(after(['TTL --ttl-inc 3', 'TTL --ttl-dec 3'], { ttl: 254 }).ttl).toBe(252)
  })
})

describe('TCPMSS', () => {
  it('gives the lowest of the sizes that were set, and whether the path counts', () => {
    const syn = '-A FORWARD -p tcp --syn -j TCPMSS'
    const bed = mangle(`${syn} --set-mss 1400\n${syn} --set-mss 1450\n${syn} --clamp-mss-to-pmtu`)
    expect(bed.run('FORWARD', packetOf())).toMatchObject({ mss: 1400, clampsMss: true })
    expect(bed.run('FORWARD', packetOf({ tcpFlags: 16 }))).toMatchObject({ mss: 0xffff, clampsMss: false })
  })
})

describe('LOG and NFLOG', () => {
  it('are listed with the mark that the packet had, and the rules go on', () => {
    const bed = mangle('-A FORWARD -j LOG --log-prefix "a "\n-A FORWARD -j MARK --set-mark 4\n-A FORWARD -j NFLOG --nflog-group 3')
    const { logs, logMarks, logCount } = bed.run('FORWARD', packetOf())
    expect([...logs.subarray(0, logCount)].map((index) => bed.compiled.rules[index]!.spec.target)).toMatchObject([
      { kind: 'LOG', prefix: 'a ', level: 4 }, { kind: 'NFLOG', group: 3 },
    ])
    expect([...logMarks.subarray(0, logCount)]).toEqual([0, 4])
  })

  it('are counted when there are too many of them', () => {
    const bed = new Bed(Array.from({ length: 40 }, () => '-A FORWARD -j LOG').join('\n'))
    expect(bed.run('FORWARD', packetOf())).toMatchObject({ logCount: 32, lostLogs: 8 })
  })
})

describe('NOTRACK', () => {
  const bed = new Bed([
    '*raw', '-A PREROUTING -s 10.0.0.2 -j CT --notrack', '-A PREROUTING -m state --state UNTRACKED -j ACCEPT', '-A PREROUTING -m state ! --state INVALID -j DROP', 'COMMIT',
    '*mangle', '-A PREROUTING -m conntrack --ctstate UNTRACKED -j MARK --set-mark 1', '-A PREROUTING -m conntrack --ctstate NEW -j MARK --set-mark 2', 'COMMIT',
    '*nat', '-A PREROUTING -j REDIRECT', 'COMMIT',
  ].join('\n'))

  it('makes the packet one without a flow, for the rules behind it', () => {
    expect(bed.run('PREROUTING', packetOf())).toMatchObject({ notrack: true, verdict: ACCEPT, mark: 1, nat: null })
    expect(bed.path()).toEqual(['raw PREROUTING 1', 'raw PREROUTING 2', 'mangle PREROUTING 1', 'mangle PREROUTING 0'])
  })

  it('leaves other packets to be tracked: in raw they have no flow yet', () => {
    expect(bed.run('PREROUTING', packetOf({ source: 1 }))).toMatchObject({ notrack: false, verdict: ACCEPT, mark: 2, nat: { kind: 'REDIRECT' } })
  })

  it('is known between raw and the other tables', () => {
    const packet = packetOf({ state: 0 })
    expect(bed.run('PREROUTING', packet, BEFORE_TRACKING)).toMatchObject({ notrack: true })
    packet.state = STATE.UNTRACKED
    expect(bed.run('PREROUTING', packet, AFTER_TRACKING)).toMatchObject({ notrack: true, mark: 1, nat: null })
    expect(bed.path()).toEqual(['raw PREROUTING 1', 'raw PREROUTING 2', 'mangle PREROUTING 1', 'mangle PREROUTING 0'])
  })
})

describe('table nat', () => {
  const natOf = (hook: 'PREROUTING' | 'INPUT' | 'OUTPUT' | 'POSTROUTING', target: string) =>
    new Bed(`*nat\n-A ${hook} -p tcp -j ${target}\nCOMMIT`).run(hook, packetOf()).nat

  it('gives what its targets say', () => {
    expect(natOf('POSTROUTING', 'SNAT --to-source 192.0.2.1-192.0.2.9:1000-2000 --random-fully --persistent')).toMatchObject({
      kind: 'SNAT', hasAddresses: true, firstAddress: ip('192.0.2.1'), lastAddress: ip('192.0.2.9'), hasPorts: true, firstPort: 1000, lastPort: 2000,
      basePort: -1, random: false, randomFully: true, persistent: true,
    })
    expect(natOf('PREROUTING', 'DNAT --to-destination 10.0.0.9:2000-2010/3000 --random')).toMatchObject({
      kind: 'DNAT', firstAddress: ip('10.0.0.9'), lastAddress: ip('10.0.0.9'), firstPort: 2000, lastPort: 2010, basePort: 3000, random: true,
    })
    expect(natOf('POSTROUTING', 'MASQUERADE --to-ports 55666-55680 --random')).toMatchObject({
      kind: 'MASQUERADE', hasAddresses: false, firstPort: 55666, lastPort: 55680, random: true,
    })
    expect(natOf('OUTPUT', 'REDIRECT --to-ports 1080')).toMatchObject({ kind: 'REDIRECT', firstPort: 1080, lastPort: 1080 })
    expect(natOf('POSTROUTING', 'MASQUERADE')).toMatchObject({ hasPorts: false })
  })

  it('maps networks onto networks', () => {
    const action = natOf('PREROUTING', 'NETMAP --to 192.168.5.0/24')!
    expect(action).toMatchObject({ kind: 'NETMAP', firstAddress: ip('192.168.5.0'), lastAddress: ip('192.168.5.255') })
    expect(netmapAddress(action, ip('10.1.2.3'))).toBe(ip('192.168.5.3'))
  })

  it('is asked only for packets that consult it', () => {
    const bed = new Bed('*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT')
    expect(bed.run('POSTROUTING', packetOf({ consultsNat: false })).nat).toBeNull()
    expect(bed.run('POSTROUTING', packetOf({ state: STATE.INVALID })).nat).toBeNull()
    const { nat, natRule } = bed.run('POSTROUTING', packetOf())
    expect([nat?.kind, bed.compiled.numberOf(natRule)]).toEqual(['MASQUERADE', 1])
    expect(bed.counters('nat POSTROUTING 1')).toEqual([1, 60])
  })

  it('on OUTPUT can be asked before filter, which sees what became of the packet', () => {
    const bed = new Bed('*nat\n-A OUTPUT -j DNAT --to-destination 10.0.0.9\nCOMMIT\n*filter\n-A OUTPUT -d 10.0.0.9 -j DROP\nCOMMIT')
    const packet = packetOf()
    const hook = HOOK_NAMES.indexOf('OUTPUT')
    bed.evaluator.outcome.begin(packet)
    packet.destination = bed.evaluator.evaluateTable(tableNumber('nat'), hook, packet).nat!.firstAddress
    expect(bed.evaluator.evaluateTable(tableNumber('filter'), hook, packet).verdict).toBe(DROP)
  })
})

describe('TPROXY', () => {
  const rules = (more = ''): Bed =>
    new Bed(`*mangle\n-A PREROUTING -p udp -j TPROXY --tproxy-mark 0x2333/0x2333 --on-ip 127.0.0.1 --on-port 1080\nCOMMIT\n${more}`)
  const packet = packetOf({ protocol: 17, mark: 0x10000 })

  const withSocket = (bed: Bed): Bed => {
    bed.environment.proxies.set(`${ip('127.0.0.1') >>> 0}:1080`, 5)
    return bed
  }

  it('gives the packet to a socket and marks it, and later tables may still drop it', () => {
    expect(withSocket(rules()).run('PREROUTING', packet)).toMatchObject({ verdict: TPROXY, mark: 0x12333, socket: 5, tproxy: { port: 1080 } })
    expect(withSocket(rules('*nat\n-A PREROUTING -j ACCEPT\nCOMMIT')).run('PREROUTING', packet).verdict).toBe(TPROXY)
    expect(withSocket(rules()).run('PREROUTING', packetOf())).toMatchObject({ verdict: ACCEPT, socket: -1 })
  })

  it('TPX-4, TPX-5: drops it without a socket, and leaves the mark', () => {
    expect(rules().run('PREROUTING', packet)).toMatchObject({ verdict: NO_SOCKET, mark: 0x10000, socket: -1 })
  })
})

describe('SYNPROXY', () => {
  it('takes SYNs, and ACKs that may carry its cookie', () => {
    const bed = new Bed('-A FORWARD -p tcp -j SYNPROXY --mss 1460 --wscale 7\n-A FORWARD -j DROP')
    const verdicts = [2, 16, 24, 18, 4, 17].map((tcpFlags) => bed.verdict(packetOf({ tcpFlags })))
    expect(verdicts).toEqual([SYNPROXY, SYNPROXY, SYNPROXY, DROP, DROP, DROP])
    expect(bed.run('FORWARD', packetOf()).synproxy).toMatchObject({ mss: 1460, windowScale: 7 })
  })
})
