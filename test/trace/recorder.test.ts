import { describe, expect, it } from 'vitest'
import { Drop, DROP_NAMES, DROP_TEXTS } from '../../src/drop.js'
import { SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from '../../src/nat/flow-table.js'
import { emptyRuleset } from '../../src/policy/iptables/index.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import { buildFragments, buildIcmpEcho, buildTcp, buildUdp, mssOption } from '../../src/testing/packets.js'
import type { FlowTable } from '../../src/nat/flow-table.js'
import { ip, packetOf } from '../policy/engine/support.js'
import { AT, textOf, TraceBed } from './support.js'

const syn = buildTcp({
  source: '10.77.0.2', destination: '198.51.100.10', sourcePort: 40000, destinationPort: 443, flags: tcp.SYN, options: mssOption(1460),
})
const forwarded = packetOf({ source: ip('10.77.0.2'), destination: ip('198.51.100.10'), destinationPort: 443, inInterface: 2, outInterface: 3, mark: 0 })

/** TCP from 10.77.0.2:40000 to 198.51.100.10:443, by 203.0.113.1:40000. */
const openFlow = (table: FlowTable): number => {
  table.setNow(5)
  const flow = table.take()
  const { sides } = table
  const put = (side: number, source: string, destination: string, ports: number, zone: number): void => {
    const at = side * SIDE_WORDS
    sides[at + SIDE_SOURCE] = ip(source)
    sides[at + SIDE_DESTINATION] = ip(destination)
    sides[at + SIDE_PORTS] = ports
    sides[at + SIDE_META] = 6 | (zone << 8)
  }
  put(flow * 2, '10.77.0.2', '198.51.100.10', (40000 << 16) | 443, 0)
  put(flow * 2 + 1, '198.51.100.10', '203.0.113.1', (443 << 16) | 40000, 1)
  table.open(flow, 0, 5)
  return flow
}

describe('a trace', () => {
  it('tells the packet as it came, rule by rule, and why it was dropped', () => {
    const trace = new TraceBed(`
*mangle
-A FORWARD -p tcp -j MARK --set-mark 7
COMMIT
*filter
:FORWARD DROP [0:0]
:web -
-A FORWARD ! -s 10.0.0.0/8 -j ACCEPT
-A FORWARD -p udp -j ACCEPT
-A FORWARD -p tcp -m conntrack --ctstate NEW -j web
-A web -i eth1 -j ACCEPT
-A web -p tcp -m tcp --dport 80 -j ACCEPT
-A web -p tcp -m mark --mark 7 -j RETURN
COMMIT
`)
    trace.begin(syn)
    trace.bed.run('FORWARD', forwarded)
    trace.recorder.marked(trace.bed.evaluator.outcome.mark, 0)
    trace.recorder.dropped(Drop['no-route'])
    const record = trace.record()
    expect(record).toMatchObject({ type: 'packet', time: 1_000_000_005_000, result: 'dropped', reason: 'no-route' })
    expect(textOf(record)).toBe(`\
tun0  10.77.0.2:40000 > 198.51.100.10:443 tcp SYN, length 44, TTL 64, TOS 0x00
  FORWARD
    mangle
      + FORWARD 1: -p tcp -j MARK --set-xmark 0x7/0xffffffff
      = FORWARD policy ACCEPT
    filter
      - FORWARD 1: ! -s 10.0.0.0/8 -j ACCEPT   [not: ! -s 10.0.0.0/8]
      - FORWARD 2: -p udp -j ACCEPT   [not: -p udp]
      + FORWARD 3: -p tcp -m conntrack --ctstate NEW -j web
      - web 1: -i eth1 -j ACCEPT   [not: -i eth1]
      - web 2: -p tcp -m tcp --dport 80 -j ACCEPT   [not: -m tcp --dport 80]
      + web 3: -p tcp -m mark --mark 0x7 -j RETURN
      = FORWARD policy DROP
  changed: mark 0x0 -> 0x7
  dropped: no-route: no route to the destination; the sender is told with ICMP 3/0
`)
    expect(textOf(record, true)).toBe(`\
tun0  10.77.0.2:40000 > 198.51.100.10:443 tcp SYN, length 44, TTL 64, TOS 0x00
  FORWARD
    mangle
      + FORWARD 1: -p tcp -j MARK --set-xmark 0x7/0xffffffff
      = FORWARD policy ACCEPT
    filter
      + FORWARD 3: -p tcp -m conntrack --ctstate NEW -j web
      + web 3: -p tcp -m mark --mark 0x7 -j RETURN
      = FORWARD policy DROP
  changed: mark 0x0 -> 0x7
  dropped: no-route: no route to the destination; the sender is told with ICMP 3/0
`)
  })

  it('finds what was changed by itself, and tells the flow as conntrack does', () => {
    const trace = new TraceBed('')
    const view = trace.begin(syn)
    trace.recorder.noFlow()
    trace.recorder.flow(openFlow(trace.table) * 2, true)
    ipv4.setSource(view, AT, ip('203.0.113.1'))
    ipv4.setTtl(view, AT, 63)
    tcp.setSourcePort(view, AT + 20, 55666)
    view.setUint16(AT + 42, 1400)
    trace.recorder.rewritten(view, AT, syn.length)
    trace.recorder.sent(1, ip('203.0.113.9'))
    const record = trace.record()
    expect(record.result).toBe('sent')
    expect(record.steps[2]).toMatchObject({ step: 'flow', new: true, direction: 'original', flow: { original: { sport: 40000 }, reply: { dst: '203.0.113.1' } } })
    expect(textOf(record)).toBe(`\
tun0  10.77.0.2:40000 > 198.51.100.10:443 tcp SYN, length 44, TTL 64, TOS 0x00
  no flow has this tuple
  a flow is opened
    tcp      6 100 NONE src=10.77.0.2 dst=198.51.100.10 sport=40000 dport=443 packets=0 bytes=0 [UNREPLIED] src=198.51.100.10 dst=203.0.113.1 sport=443 dport=40000 packets=0 bytes=0 mark=0 use=1 id=0
  changed: source 10.77.0.2 -> 203.0.113.1, source port 40000 -> 55666, TTL 64 -> 63, MSS 1460 -> 1400
  sent by eth0 to 203.0.113.9
`)
  })

  it('tells each lookup: rules, routes, and what came out', () => {
    const trace = new TraceBed('')
    trace.words('route add default via 203.0.113.9 dev eth0', 'route add default via 198.51.100.9 dev eth1 table 7', 'rule add fwmark 5 lookup 7 pref 100')
    trace.begin(syn)
    const key = { source: ip('10.77.0.2'), destination: ip('192.0.2.1'), protocol: 6 }
    trace.route(key)
    trace.route({ ...key, mark: 5 })
    trace.words('route del default', 'route add prohibit 192.0.2.0/24')
    trace.route(key)
    const text = textOf(trace.record())
    expect(text).toContain(`\
  route 192.0.2.1 from 10.77.0.2 iif tun0
    rule 0: from all lookup local
      table local: no route
    rule 100: from all fwmark 0x5 lookup 7: does not apply
    rule 32766: from all lookup main
      table main: default via 203.0.113.9 dev eth0: taken
    = via 203.0.113.9 dev eth0 table main by rule 32766
`)
    expect(text).toContain('    = via 198.51.100.9 dev eth1 table 7 by rule 100\n')
    expect(text).toContain('    = prohibited table main by rule 32766\n')
  })

  it('bounds what it tells of rules that do not match, and says how many there were', () => {
    const trace = new TraceBed(`${Array.from({ length: 50 }, (_, n) => `-A FORWARD -s 10.1.0.${n} -j DROP`).join('\n')}\n-A FORWARD -j ACCEPT`, 3)
    trace.begin(syn)
    trace.bed.run('FORWARD', forwarded)
    const { steps } = trace.record()
    expect(steps.filter(({ step }) => step === 'rule')).toHaveLength(4)
    expect(steps.filter(({ step }) => step === 'skipped')).toEqual([{ step: 'skipped', rules: 47 }])
    expect(steps.at(-1)).toMatchObject({ step: 'rule', number: 51, matched: true })
  })

  it('says that a rule is gone which was there when the packet came', () => {
    const trace = new TraceBed('-A FORWARD -j ACCEPT')
    trace.begin(syn)
    trace.bed.run('FORWARD', forwarded)
    trace.bed.ruleset = emptyRuleset()
    const record = trace.record()
    expect(record.steps).toContainEqual({ step: 'rule', table: 'filter', chain: 'FORWARD', number: 1, rule: null, matched: true })
    expect(textOf(record)).toContain('+ FORWARD 1: (this rule is gone by now)')
  })

  it.each(DROP_NAMES.slice(1).map((name, index) => [name, index + 1] as const))('has a sentence for packets dropped as %s', (name, code) => {
    const trace = new TraceBed('')
    trace.begin(syn)
    trace.recorder.dropped(code)
    const record = trace.record()
    expect(record).toMatchObject({ result: 'dropped', reason: name })
    expect(textOf(record)).toContain(`  dropped: ${name}: ${DROP_TEXTS[code]}\n`)
  })

  it('tells what else may become of a packet', () => {
    const trace = new TraceBed('')
    trace.begin(buildUdp({ source: '10.77.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 53, tos: 0x10 }), 0, 0x2333)
    trace.recorder.stored('PREROUTING')
    trace.recorder.translation('source', ip('203.0.113.1'), 5000)
    trace.recorder.translation('destination', null, 53)
    trace.recorder.answered(3, 3)
    trace.recorder.reset()
    trace.recorder.held(1, ip('203.0.113.9'))
    const record = trace.record()
    expect(record.result).toBe('held')
    expect(textOf(record)).toBe(`\
tun0  10.77.0.2:5000 > 198.51.100.10:53 udp, length 28, TTL 64, TOS 0x10, mark 0x2333
  PREROUTING
    as was decided for the flow; the rules are not asked again
  a flow would have this source: 203.0.113.1, port 5000
  a flow would have this destination: address stays, port 53
  the sender is told: ICMP 3/3, port-unreachable
  the sender is told: TCP RST
  waits for the next hop by eth0 to 203.0.113.9
`)
  })

  it('tells ICMP and fragments', () => {
    const trace = new TraceBed('')
    const ping = buildIcmpEcho({ source: '10.77.0.2', destination: '198.51.100.10', identifier: 77, payload: new Uint8Array(2000) })
    const [first, last] = buildFragments(ping, 1500)
    const line = (bytes: Uint8Array): string => {
      trace.begin(bytes, 1)
      trace.recorder.fragmentHeld()
      return textOf(trace.record())
    }
    expect(line(first!)).toMatch(/^eth0 {2}10.77.0.2 > 198.51.100.10 icmp type 8 code 0 id 77, length 1500, .*, fragment from byte 0, more follow\n {2}waits for the first fragment/)
    expect(line(last!)).toMatch(/^eth0 {2}10.77.0.2 > 198.51.100.10 icmp, length \d+, .*, fragment from byte 1480, the last\n/)
  })

  it('begins anew with each packet', () => {
    const trace = new TraceBed('')
    trace.begin(syn, 0, 9)
    trace.recorder.marked(10, 3)
    trace.recorder.local()
    expect(trace.record().result).toBe('local')
    trace.begin(syn)
    trace.recorder.marked(0, 0)
    expect(trace.record()).toMatchObject({ result: 'none', steps: [{ step: 'packet' }] })
  })
})
