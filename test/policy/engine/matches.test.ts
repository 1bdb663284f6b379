import { describe, expect, it } from 'vitest'
import { ACCEPT, DROP } from '../../../src/policy/engine/index.js'
import type { PacketMeta } from '../../../src/policy/engine/packet-meta.js'
import { STATE, STATUS } from '../../../src/policy/model.js'
import { Bed, ip, packetOf, TestEnvironment } from './support.js'

type Change = Partial<PacketMeta>

/** A test, packets that it holds for, and packets that it does not hold for. */
const CASES: readonly (readonly [rule: string, holds: readonly Change[], fails: readonly Change[]])[] = [
  ['-s 10.0.0.0/24', [{}, { source: ip('10.0.0.255') }], [{ source: ip('10.0.1.0') }]],
  ['! -s 10.0.0.0/24', [{ source: ip('10.0.1.0') }], [{}]],
  ['-d 198.51.0.1/255.255.0.255', [{}, { destination: ip('198.51.7.1') }], [{ destination: ip('198.51.100.2') }]],
  ['-i eth0', [{}], [{ inInterface: 2 }, { inInterface: 0 }]],
  ['! -i eth0', [{ inInterface: 2 }, { inInterface: 0 }], [{}]],
  ['-i eth+', [{}, { inInterface: 2 }], [{ inInterface: 3 }, { inInterface: 0 }]],
  ['! -o eth+', [{ outInterface: 3 }], [{}]],
  ['! -p tcp', [{ protocol: 17 }], [{}]],
  ['-f', [{ fragment: 2 }], [{}, { fragment: 1 }]],
  ['! -f', [{}, { fragment: 1 }], [{ fragment: 2 }]],
  ['-p tcp -m tcp --sport 40000:40009 --dport 80', [{}, { sourcePort: 40009 }], [{ sourcePort: 40010 }, { destinationPort: 81 }, { fragment: 2 }]],
  ['-p tcp -m tcp ! --dport 80', [{ destinationPort: 81 }], [{}, { fragment: 2 }]],
  ['-p tcp -m tcp --syn', [{ tcpFlags: 2 }, { tcpFlags: 0xc2 }], [{ tcpFlags: 0x12 }, { tcpFlags: 3 }]],
  ['-p tcp -m tcp ! --syn', [{ tcpFlags: 0x10 }], [{}]],
  ['-p tcp -m tcp --tcp-flags ALL PSH,ACK', [{ tcpFlags: 0x18 }], [{ tcpFlags: 0x10 }, { tcpFlags: 0x38 }]],
  ['-p udp -m udp --dport 53', [{ protocol: 17, destinationPort: 53 }], [{ protocol: 17 }, { destinationPort: 53 }, { protocol: 17, destinationPort: 53, fragment: 2 }]],
  ['-p tcp -m tcp --dport 80 -m tcp ! --sport 1', [{}], [{ sourcePort: 1 }, { destinationPort: 1 }]],
  ['-p icmp -m icmp --icmp-type 8', [{ protocol: 1, icmpType: 8 }, { protocol: 1, icmpType: 8, icmpCode: 1 }], [{ protocol: 1, icmpType: 0 }, { protocol: 1, icmpType: 8, fragment: 2 }]],
  ['-p icmp -m icmp ! --icmp-type 3/4', [{ protocol: 1, icmpType: 3, icmpCode: 1 }], [{ protocol: 1, icmpType: 3, icmpCode: 4 }]],
  ['-p icmp -m icmp --icmp-type any', [{ protocol: 1, icmpType: 13 }], [{}]],
  ['-p tcp -m multiport --dports 22,80:89', [{}, { destinationPort: 89 }], [{ destinationPort: 90 }, { destinationPort: 1, sourcePort: 80 }]],
  ['-p tcp -m multiport --ports 22,80', [{}, { destinationPort: 1, sourcePort: 22 }], [{ destinationPort: 1 }, { fragment: 2 }]],
  ['-p tcp -m multiport ! --ports 22,80', [{ destinationPort: 1 }], [{}, { sourcePort: 22 }, { fragment: 2 }]],
  ['-m conntrack --ctstate NEW,RELATED', [{}, { state: STATE.RELATED }], [{ state: STATE.ESTABLISHED }, { state: STATE.INVALID }]],
  ['-m conntrack ! --ctstate INVALID', [{}], [{ state: STATE.INVALID }]],
  ['-m conntrack --ctstate DNAT', [{ state: STATE.ESTABLISHED | STATE.DNAT }], [{ state: STATE.ESTABLISHED | STATE.SNAT }]],
  ['-m conntrack --ctstate UNTRACKED', [{ state: STATE.UNTRACKED }], [{}]],
  ['-m conntrack --ctstatus ASSURED', [{ status: STATUS.ASSURED | STATUS.SEEN_REPLY }], [{}, { status: STATUS.SEEN_REPLY }]],
  ['-m conntrack --ctdir REPLY', [{ direction: 1 }], [{}]],
  ['-m conntrack --ctproto 6', [{ protocol: 1 }], [{ flowProtocol: 17 }, { state: STATE.INVALID }]],
  ['-m conntrack ! --ctproto 17', [{}], [{ flowProtocol: 17 }, { state: STATE.INVALID }]],
  ['-m conntrack --ctorigsrc 10.0.0.0/8 --ctorigdstport 80', [{}, { source: 1 }], [{ originalSource: 1 }, { originalDestinationPort: 81 }]],
  ['-m conntrack --ctorigdst 198.51.100.1 --ctorigsrcport 40000', [{}], [{ originalDestination: 1 }, { originalSourcePort: 1 }]],
  ['-m conntrack ! --ctreplsrc 198.51.100.1', [{ replySource: 1 }], [{}, { replySource: 1, state: STATE.UNTRACKED }]],
  ['-m conntrack --ctrepldst 10.0.0.2 --ctreplsrcport 80 --ctrepldstport 40000', [{}], [{ replyDestination: 1 }, { replySourcePort: 1 }, { replyDestinationPort: 1 }]],
  ['-m conntrack --ctexpire 10:20', [{ expires: 10 }, { expires: 20 }], [{}, { expires: 21 }]],
  ['-m conntrack --ctstate INVALID,NEW --ctdir ORIGINAL', [{}, { state: STATE.INVALID, direction: 1 }], [{ direction: 1 }]],
  ['-m state --state ESTABLISHED,RELATED', [{ state: STATE.ESTABLISHED | STATE.SNAT }], [{}]],
  ['-m state ! --state NEW', [{ state: STATE.UNTRACKED }], [{}]],
  ['-m mark --mark 0x80000001/0x80000003', [{ mark: 0x80000001 }, { mark: 0xfffffffd }], [{}, { mark: 1 }]],
  ['-m mark ! --mark 1', [{}], [{ mark: 1 }]],
  ['-m connmark --mark 5', [{ connmark: 5 }], [{}, { connmark: 5, state: STATE.INVALID }]],
  ['-m connmark ! --mark 5', [{}], [{ connmark: 5 }, { state: STATE.UNTRACKED }]],
  ['-m length --length 60:100', [{}, { length: 100 }], [{ length: 101 }]],
  ['-m ttl --ttl-eq 64', [{}], [{ ttl: 63 }]],
  ['-m ttl ! --ttl-eq 64', [{ ttl: 63 }], [{}]],
  ['-m ttl --ttl-lt 64', [{ ttl: 63 }], [{}]],
  ['-m ttl --ttl-gt 64', [{ ttl: 65 }], [{}]],
  ['-m tos --tos 0x10/0x3f', [{ tos: 0x10 }, { tos: 0xd0 }], [{}]],
  ['-m dscp ! --dscp 46', [{}], [{ tos: 46 << 2 }, { tos: (46 << 2) | 3 }]],
  ['-m iprange --src-range 10.0.0.1-10.0.0.9', [{}], [{ source: ip('10.0.0.10') }]],
  ['-m iprange ! --dst-range 198.0.0.0-223.255.255.255', [{ destination: ip('8.8.8.8') }, { destination: ip('224.0.0.1') }], [{}]],
  ['-m addrtype --dst-type LOCAL', [{ destination: ip('192.0.2.1') }], [{}]],
  ['-m addrtype ! --src-type LOCAL --dst-type UNICAST', [{}], [{ source: ip('192.0.2.1') }, { destination: ip('192.0.2.1') }]],
  ['-m comment --comment "says nothing"', [{}], []],
]

const bedFor = (rule: string): Bed => {
  const environment = new TestEnvironment()
  for (const name of ['eth0', 'eth1', 'wlan0']) environment.interfaces.numberOf(name)
  environment.local.add(ip('192.0.2.1'))
  return new Bed(`-A FORWARD ${rule} -j DROP`, environment)
}

describe('a rule', () => {
  it.each(CASES)('with %s matches what it says', (rule, holds, fails) => {
    const bed = bedFor(rule)
    for (const change of holds) expect([change, bed.verdict(packetOf(change))]).toEqual([change, DROP])
    for (const change of fails) expect([change, bed.verdict(packetOf(change))]).toEqual([change, ACCEPT])
  })
})

describe('what stands in TCP options', () => {
  it('is asked for when a rule tests an option', () => {
    const bed = bedFor('-p tcp -m tcp --tcp-option 8')
    expect(bed.verdict(packetOf())).toBe(ACCEPT)
    bed.environment.options.set(8, 0)
    expect(bed.verdict(packetOf())).toBe(DROP)
  })

  it('without a segment size meets a test of it only when that is inverted', () => {
    const [bed, inverted] = [bedFor('-p tcp -m tcpmss --mss 1:500'), bedFor('-p tcp -m tcpmss ! --mss 1:500')]
    expect([bed.verdict(packetOf()), inverted.verdict(packetOf())]).toEqual([ACCEPT, DROP])
    for (const { environment } of [bed, inverted]) environment.options.set(2, 500)
    expect([bed.verdict(packetOf()), inverted.verdict(packetOf())]).toEqual([DROP, ACCEPT])
  })
})

describe('sets', () => {
  const bedWith = (rules: string): Bed => {
    const environment = new TestEnvironment()
    environment.ipset([
      'create seen hash:ip timeout 600', 'create bad hash:ip counters', 'add bad 10.0.0.2', 'create services hash:ip,port', 'add services 198.51.100.1,tcp:80',
      'create nets hash:net,iface', 'add nets 10.0.0.0/8,eth0',
    ].join('\n'))
    return new Bed(rules, environment)
  }

  it('are asked in the directions of the rule', () => {
    const bed = bedWith('-A FORWARD -m set --match-set services dst,dst -j DROP')
    expect([bed.verdict(packetOf()), bed.verdict(packetOf({ destinationPort: 81 })), bed.verdict(packetOf({ protocol: 17 }))]).toEqual([DROP, ACCEPT, ACCEPT])
    const reply = { source: ip('198.51.100.1'), sourcePort: 80, destination: ip('10.0.0.2'), destinationPort: 40000 }
    expect(bed.verdict(packetOf(reply))).toBe(ACCEPT)
    expect(bedWith('-A FORWARD -m set --match-set services src,src -j DROP').verdict(packetOf(reply))).toBe(DROP)
  })

  it('know the interfaces that rules know', () => {
    const bed = bedWith('-A FORWARD -i eth0 -m set --match-set nets src,src -j DROP')
    const inInterface = bed.environment.interfaces.numberOf('eth0')
    expect([bed.verdict(packetOf({ inInterface })), bed.verdict(packetOf({ inInterface: inInterface + 1 }))]).toEqual([DROP, ACCEPT])
  })

  it('count as the rule says, and the rule may look at what they counted', () => {
    const bed = bedWith('-A FORWARD -m set --match-set bad src --packets-gt 2 -j DROP')
    expect([1, 2, 3].map(() => bed.verdict(packetOf()))).toEqual([ACCEPT, ACCEPT, DROP])
    const silent = bedWith('-A FORWARD -m set --match-set bad src ! --update-counters -j DROP')
    expect(silent.verdict(packetOf())).toBe(DROP)
    expect(silent.environment.elements('bad')).toEqual([[ip('10.0.0.2'), 0, 0]])
  })

  it('hold nothing when they are not there', () => {
    const bed = bedWith('-A FORWARD -m set --match-set gone src -j ACCEPT\n-A FORWARD -m set ! --match-set gone src -j DROP')
    expect(bed.verdict(packetOf())).toBe(DROP)
  })

  it('get and lose what packets have', () => {
    const bed = bedWith('-A FORWARD -j SET --add-set seen dst --exist --timeout 30\n-A FORWARD -j SET --del-set bad src')
    bed.verdict(packetOf())
    expect([bed.environment.elements('seen'), bed.environment.elements('bad')]).toEqual([[[ip('198.51.100.1'), 0, 0]], []])
    bed.environment.clock.now += 30_000
    expect(bed.environment.elements('seen')).toEqual([])
  })

  it('are not written in a dry run', () => {
    const bed = bedWith('-A FORWARD -m set --match-set bad src -j SET --add-set seen dst')
    bed.evaluator.outcome.isDry = true
    expect(bed.run('FORWARD', packetOf()).pathLength).toBe(3)
    expect([bed.environment.elements('seen'), bed.environment.elements('bad')]).toEqual([[], [[ip('10.0.0.2'), 0, 0]]])
  })
})

describe('sockets', () => {
  it('match packets that they wait for, and give them their mark', () => {
    const bed = new Bed('*mangle\n-A PREROUTING -p tcp -m socket --transparent --restore-skmark -j ACCEPT\n-A PREROUTING -j DROP\nCOMMIT')
    expect(bed.run('PREROUTING', packetOf()).verdict).toBe(DROP)
    bed.environment.socketMark = 7
    expect(bed.run('PREROUTING', packetOf())).toMatchObject({ verdict: ACCEPT, mark: 7 })
  })
})
