import { describe, expect, it } from 'vitest'
import { readLiveTrace, readQuestion, type TraceWords } from '../src/api/trace-request.js'
import type { TraceRecord } from '../src/api/trace-types.js'
import { traceRecord } from '../src/control/trace-words.js'
import { initialState } from '../src/policy/iproute/index.js'
import * as tcp from '../src/stack/wire/tcp.js'
import * as icmp4 from '../src/stack/wire/icmp4.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp, mssOption } from '../src/testing/packets.js'
import { buildPacket } from '../src/trace/build-packet.js'
import type { Trace } from '../src/trace/steps.js'
import { ip } from './policy/engine/support.js'
import { textOf } from './trace/support.js'

const SERVER = '198.51.100.10'
const HOST = '10.0.0.2'
const OUTSIDE = '203.0.113.1'
const devices = ['lo', 'tun0', 'eth0'].map((name, index) => ({ number: index + 1, name, up: true, addresses: [] }))

const syn = buildTcp({ source: HOST, destination: SERVER, sourcePort: 40000, destinationPort: 443, flags: tcp.SYN, sequence: 100, options: mssOption(1460), df: true })
const synAck = buildTcp({ source: SERVER, destination: OUTSIDE, sourcePort: 443, destinationPort: 40000, flags: tcp.SYN | tcp.ACK, sequence: 900, acknowledgment: 101 })
const ack = buildTcp({ source: HOST, destination: SERVER, sourcePort: 40000, destinationPort: 443, flags: tcp.ACK, sequence: 101, acknowledgment: 901 })
const dns = buildUdp({ source: HOST, destination: SERVER, sourcePort: 5000, destinationPort: 53 })

const RULES = `
*raw
-A PREROUTING -p udp --dport 7777 -j NOTRACK
COMMIT
*mangle
-A FORWARD -p tcp -j MARK --set-mark 7
-A POSTROUTING -m mark --mark 7 -j CONNMARK --save-mark
COMMIT
*nat
-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 198.51.100.20:80
-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 55666-55680
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -s 10.0.0.66 -j DROP
-A FORWARD -p udp --dport 99 -j REJECT --reject-with icmp-admin-prohibited
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
`

class Traced {
  readonly gateway: MemoryGateway

  constructor(options: MemoryGatewayOptions = {}, rules = RULES) {
    this.gateway = new MemoryGateway(options)
    if (rules !== '') this.gateway.restoreRules(rules)
  }

  follow(words: TraceWords = {}): this {
    const { filter, count } = readLiveTrace(words)
    this.gateway.plane.traceLive({ filter: { ...filter, zone: null }, count })
    return this
  }

  words(trace: Trace): TraceRecord {
    return traceRecord(trace, {
      ruleset: this.gateway.ruleset, ip: initialState(devices), interfaceName: (zone) => ['tun0', 'eth0'][zone]!, timeouts: new Int32Array(32).fill(100), wallTime: (time) => time,
    })
  }

  /** Packets that have been traced since the last call. */
  get passed(): TraceRecord[] {
    return this.gateway.plane.tracing.live!.collect()?.traces.map((trace) => this.words(trace)) ?? []
  }

  fromLan(bytes: Uint8Array): TraceRecord {
    this.gateway.fromLan(bytes)
    return this.passed[0]!
  }

  fromWan(bytes: Uint8Array): TraceRecord {
    this.gateway.fromWan(bytes)
    return this.passed[0]!
  }

  ask(words: TraceWords, zone = 0): TraceRecord {
    const { packet, mark, isNew } = readQuestion({ src: HOST, dst: SERVER, ...words })
    return this.words(this.gateway.plane.explain(buildPacket(packet), zone, mark, isNew))
  }
}

const rulesOf = ({ steps }: TraceRecord): string[] =>
  steps.flatMap((step) => (step.step === 'rule' && step.matched ? [`${step.table} ${step.chain} ${step.number}`] : step.step === 'policy' ? [`${step.table} ${step.chain}`] : []))

/** What is told before the gateway answers: its answer meets OUTPUT and POSTROUTING. */
const beforeAnswer = (record: TraceRecord): TraceRecord => {
  const answer = record.steps.findIndex(({ step }) => step === 'answer')
  return answer < 0 ? record : { ...record, steps: record.steps.slice(0, answer) }
}

describe('a packet that is traced as it passes', () => {
  it('CT-11: meets the hooks in the order of netfilter, and each step is told', () => {
    const traced = new Traced().follow()
    expect(textOf(traced.fromLan(syn))).toBe(`\
tun0  10.0.0.2:40000 > 198.51.100.10:443 tcp SYN, length 44, TTL 64, TOS 0x00
  no flow has this tuple
  PREROUTING
    raw
      - PREROUTING 1: -p udp -m udp --dport 7777 -j NOTRACK   [not: -p udp]
      = PREROUTING policy ACCEPT
    mangle
      = PREROUTING policy ACCEPT
    nat
      - PREROUTING 1: -p tcp -m tcp --dport 8080 -j DNAT --to-destination 198.51.100.20:80   [not: -m tcp --dport 8080]
      = PREROUTING policy ACCEPT
  route 198.51.100.10 from 10.0.0.2 iif tun0
    rule 0: from all lookup local
      table local: no route
    rule 32766: from all lookup main
      table main: default dev eth0 proto kernel scope link: taken
    = dev eth0 table main by rule 32766
  FORWARD
    mangle
      + FORWARD 1: -p tcp -j MARK --set-xmark 0x7/0xffffffff
      = FORWARD policy ACCEPT
    filter
      - FORWARD 1: -s 10.0.0.66/32 -j DROP   [not: -s 10.0.0.66/32]
      - FORWARD 2: -p udp -m udp --dport 99 -j REJECT --reject-with icmp-admin-prohibited   [not: -p udp]
      - FORWARD 3: -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT   [not: -m conntrack --ctstate RELATED,ESTABLISHED]
      - FORWARD 4: -m conntrack --ctstate INVALID -j DROP   [not: -m conntrack --ctstate INVALID]
      = FORWARD policy ACCEPT
  changed: mark 0x0 -> 0x7
  POSTROUTING
    mangle
      + POSTROUTING 1: -m mark --mark 0x7 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff
      = POSTROUTING policy ACCEPT
    nat
      + POSTROUTING 1: -o eth0 -p tcp -j MASQUERADE --to-ports 55666-55680
  changed: connmark 0x0 -> 0x7
  a flow is opened
    tcp      6 100 SYN_SENT src=10.0.0.2 dst=198.51.100.10 sport=40000 dport=443 packets=0 bytes=0 [UNREPLIED] src=198.51.100.10 dst=203.0.113.1 sport=443 dport=${/sport=443 dport=(\d+)/.exec(textOf(traced.ask({ dport: '443' })))![1]} packets=0 bytes=0 mark=7 use=1 id=0
  changed: source 10.0.0.2 -> 203.0.113.1, source port 40000 -> ${/sport=443 dport=(\d+)/.exec(textOf(traced.ask({ dport: '443' })))![1]}, TTL 64 -> 63
  sent by eth0
`)
  })

  it('asks its rules also when what they said is stored with its flow, and stores it again', () => {
    const traced = new Traced({}, '*filter\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n')
    traced.gateway.fromLan(syn).fromWan(synAck).fromLan(ack).fromLan(ack)
    traced.follow()
    for (let n = 0; n < 3; n++) {
      const record = traced.fromLan(ack)
      expect(record.result).toBe('sent')
      expect(record.steps[1]).toMatchObject({ step: 'flow', new: false, direction: 'original', flow: { state: 'ESTABLISHED' } })
      expect(rulesOf(record)).toContain('filter FORWARD 1')
      expect(record.steps.filter(({ step }) => step === 'route')).toHaveLength(1)
    }
    const reply = buildTcp({ source: SERVER, destination: OUTSIDE, sourcePort: 443, destinationPort: 40000, flags: tcp.ACK, sequence: 901, acknowledgment: 101 })
    const record = traced.fromWan(reply)
    expect(record.steps[1]).toMatchObject({ direction: 'reply' })
    expect(record.steps.at(-2)).toMatchObject({ step: 'rewrite', changes: [{ field: 'destination', from: OUTSIDE, to: HOST }, { field: 'TTL', from: 64, to: 63 }] })
    expect(record.steps.at(-1)).toEqual({ step: 'sent', interface: 'tun0' })
    // Traced or not, all are counted.
    traced.gateway.plane.traceLive(null)
    traced.gateway.fromLan(ack)
    traced.gateway.plane.policy.onCount()
    const { ruleset } = traced.gateway.plane.policy.evaluator
    expect(ruleset.counters[0]).toBe(1 + 2 + 3 + 1 + 1)
  })

  it('has changes of marks told, not marks that its flow has already', () => {
    const traced = new Traced({}, '*mangle\n-A FORWARD -p tcp -j CONNMARK --set-mark 7\n-A POSTROUTING -p tcp --tcp-flags SYN NONE -j CONNMARK --set-mark 8\nCOMMIT\n').follow()
    const changes = ({ steps }: TraceRecord) => steps.flatMap((step) => (step.step === 'rewrite' ? step.changes : [])).filter(({ field }) => field === 'connmark')
    expect(changes(traced.fromLan(syn))).toEqual([{ field: 'connmark', from: 0, to: 7 }])
    expect(changes(traced.fromLan(syn))).toEqual([])
    traced.fromWan(synAck)
    expect(changes(traced.fromLan(ack))).toEqual([{ field: 'connmark', from: 7, to: 8 }])
  })

  it.each<[string, Uint8Array, string, 'lan' | 'wan', string]>([
    ['dropped by a rule', buildUdp({ source: '10.0.0.66', destination: SERVER, sourcePort: 1, destinationPort: 2 }), 'rule', 'lan', 'filter FORWARD 1'],
    ['rejected by a rule', buildUdp({ source: HOST, destination: SERVER, sourcePort: 1, destinationPort: 99 }), 'rule-rejected', 'lan', 'filter FORWARD 2'],
    ['of no flow', ack, 'not-a-flow-opener', 'lan', 'mangle PREROUTING'],
    ['from outside and expected by nobody', synAck, 'no-flow', 'wan', 'filter INPUT'],
    ['with a TTL of 1', buildUdp({ source: HOST, destination: SERVER, sourcePort: 1, destinationPort: 2, ttl: 1 }), 'ttl-expired', 'lan', 'nat PREROUTING'],
    ['with a source that none may have', buildUdp({ source: '127.0.0.1', destination: SERVER, sourcePort: 1, destinationPort: 2 }), 'invalid-source', 'lan', 'nat PREROUTING'],
    ['with a wrong header checksum', buildUdp({ source: HOST, destination: SERVER, sourcePort: 1, destinationPort: 2, corrupt: 'header' }), 'bad-header-checksum', 'lan', ''],
    ['cut short', dns.subarray(0, 24), 'short', 'lan', ''],
  ])('is said to be dropped, and why: one %s', (_, bytes, reason, side, last) => {
    const traced = new Traced().follow()
    const record = side === 'lan' ? traced.fromLan(bytes) : traced.fromWan(bytes)
    expect(record).toMatchObject({ result: 'dropped', reason })
    expect(record.steps.at(-1)).toMatchObject({ step: 'drop', reason })
    expect(rulesOf(beforeAnswer(record)).at(-1) ?? '').toBe(last)
    expect(traced.gateway.drops).toEqual({ [reason]: 1 })
  })

  it('has its answers told', () => {
    const traced = new Traced().follow()
    const answers = (record: TraceRecord) => record.steps.filter(({ step }) => step === 'answer')
    expect(answers(traced.fromLan(buildUdp({ source: HOST, destination: SERVER, sourcePort: 1, destinationPort: 99 })))).toEqual([
      { step: 'answer', kind: 'icmp', type: 3, code: 13, name: 'communication-prohibited' },
    ])
    const ping = traced.fromLan(buildIcmpEcho({ source: HOST, destination: '10.0.0.1', identifier: 1 }))
    expect(ping.result).toBe('local')
    expect(rulesOf(beforeAnswer(ping)).slice(-2)).toEqual(['filter INPUT', 'nat INPUT'])
    expect(answers(ping)).toMatchObject([{ name: 'echo-reply' }])
    expect(answers(traced.fromLan(buildUdp({ source: HOST, destination: '10.0.0.1', sourcePort: 1, destinationPort: 2 })))).toMatchObject([{ name: 'port-unreachable' }])
  })

  it.each(['live', 'dry'])('has its answers led through OUTPUT, where a rule may drop them: %s', (kind) => {
    const traced = new Traced({}, '*mangle\n-A FORWARD -j MARK --set-mark 5\nCOMMIT\n*filter\n-A OUTPUT -p icmp --icmp-type 3/13 -j DROP\n-A FORWARD -p udp --dport 99 -j REJECT --reject-with icmp-admin-prohibited\nCOMMIT\n').follow()
    const record = kind === 'dry' ? traced.ask({ protocol: 'udp', dport: '99', mark: '9' }) : traced.fromLan(buildUdp({ source: HOST, destination: SERVER, sourcePort: 1, destinationPort: 99 }))
    expect(textOf(record, true)).toContain(`\
      = FORWARD policy ACCEPT
    filter
      + FORWARD 1: -p udp -m udp --dport 99 -j REJECT --reject-with icmp-admin-prohibited
  changed: mark ${kind === 'dry' ? '0x9' : '0x0'} -> 0x5
  the sender is told: ICMP 3/13, communication-prohibited
  OUTPUT
    filter
      + OUTPUT 1: -p icmp -m icmp --icmp-type 3/13 -j DROP
  a rule drops that answer
  dropped: rule-rejected: a rule says REJECT; the sender is told as it asks
`)
    expect(traced.gateway.toLan()).toEqual([])
  })

  it('may wait for its next hop', () => {
    const traced = new Traced({ neighbours: true }).follow()
    expect(traced.fromLan(dns).steps.at(-1)).toEqual({ step: 'held', interface: 'eth0', nextHop: SERVER })
    traced.gateway.plane.learnNeighbour(0, ip(SERVER), 1, 2)
    expect(traced.fromLan(dns).steps.at(-1)).toEqual({ step: 'sent', interface: 'eth0', nextHop: SERVER })
  })

  it('may be untracked', () => {
    const traced = new Traced().follow()
    const record = traced.fromLan(buildUdp({ source: HOST, destination: SERVER, sourcePort: 5000, destinationPort: 7777 }))
    expect(rulesOf(record)[0]).toBe('raw PREROUTING 1')
    expect(record.result).toBe('sent')
    expect(traced.gateway.flows).toBe(0)
  })

  it('may be an ICMP error about a flow', () => {
    const traced = new Traced({}, '')
    traced.gateway.fromLan(dns)
    const sent = traced.gateway.toWan()[0]!.bytes
    traced.follow()
    const record = traced.fromWan(buildIcmpError({ source: '192.0.2.1', destination: OUTSIDE, type: icmp4.UNREACHABLE, code: icmp4.CODE_PORT, quote: sent }))
    expect(record.steps.map(({ step }) => step)).toEqual(['packet', 'no-flow', 'flow', 'rewrite', 'sent'])
    expect(record.steps[2]).toMatchObject({ direction: 'reply' })
  })

  it('may be fragments', () => {
    const traced = new Traced().follow()
    const [first, second, third] = buildFragments(buildUdp({ source: HOST, destination: SERVER, sourcePort: 5000, destinationPort: 53, payload: new Uint8Array(3000) }), 1500)
    expect(traced.fromLan(second!).steps.at(-1)).toEqual({ step: 'fragment-held' })
    const record = traced.fromLan(first!)
    expect(record.result).toBe('sent')
    expect(record.steps.filter(({ step }) => step === 'flow')).toHaveLength(1)
    const last = traced.fromLan(third!)
    expect(last).toMatchObject({ result: 'sent' })
    expect(last.steps[1]).toMatchObject({ step: 'flow', new: false })
    expect(traced.gateway.toWan()).toHaveLength(3)
  })

  it('is one that the filter names; others cost nothing more', () => {
    const traced = new Traced().follow({ protocol: 'udp', count: '1' })
    traced.gateway.fromLan(syn).fromLan(dns).fromLan(dns)
    expect(traced.passed).toHaveLength(1)
    expect(traced.gateway.plane.policy.evaluator.recorder).toBeNull()
  })
})

/** All that must stay as it is. */
const stateOf = ({ plane, stats, lan, wan, flows, eventRing }: MemoryGateway) => ({
  flows, stats: [...stats], sent: [lan.takeSent().length, wan.takeSent().length], ring: [...new Int32Array(eventRing).subarray(0, 64)],
  counters: [...plane.policy.evaluator.ruleset.counters], sources: plane.pipeline.usage.sources.active,
})

describe('a packet that is described', () => {
  it.each<[TraceWords, string | undefined]>([
    [{ dport: '443' }, undefined],
    [{ dport: '8080' }, undefined],
    [{ protocol: 'udp', dport: '53' }, undefined],
    [{ protocol: 'udp', dport: '99' }, 'rule-rejected'],
    [{ protocol: 'udp', dport: '7777' }, undefined],
    [{ src: '10.0.0.66' }, 'rule'],
    [{}, undefined],
    [{ dst: '10.0.0.1' }, undefined],
    [{ dst: '10.0.0.1', dport: '22' }, 'to-gateway'],
    [{ dst: '224.0.0.1' }, 'invalid-destination'],
    [{ dport: '443', ttl: '1' }, 'ttl-expired'],
    [{ dport: '443', length: '1501' }, 'too-big'],
    [{ dport: '443', flags: 'ACK' }, 'not-a-flow-opener'],
    [{ protocol: '89' }, 'protocol-refused'],
  ])('is told to become what it becomes: %j', (words, reason) => {
    const asked = new Traced()
    asked.gateway.fromLan(dns)
    const before = stateOf(asked.gateway)
    const told = asked.ask(words)
    expect({ ...stateOf(asked.gateway), sent: before.sent }).toEqual(before)
    expect(asked.gateway.toWan()).toEqual([])
    expect(asked.gateway.toLan()).toEqual([])
    expect(told.reason).toBe(reason)

    const real = asked.follow().fromLan(buildPacket(readQuestion({ src: HOST, dst: SERVER, ...words }).packet))
    expect(rulesOf(told)).toEqual(rulesOf(real))
    const kinds = ['route', 'answer', 'drop', 'sent', 'local']
    const compared = ({ steps }: TraceRecord) => steps.filter(({ step }) => kinds.includes(step))
    expect(compared(told)).toEqual(compared(real))
    expect([told.result, told.reason]).toEqual([real.result, real.reason])
  })

  it('tells the address and, as far as it is known, the port that a flow would have', () => {
    const traced = new Traced()
    const translations = (words: TraceWords) => traced.ask(words).steps.filter(({ step }) => step === 'translation')
    expect(translations({ dport: '443' })).toEqual([{ step: 'translation', what: 'source', address: OUTSIDE }])
    expect(translations({ dport: '443', sport: '55670' })).toEqual([{ step: 'translation', what: 'source', address: OUTSIDE, port: 55670 }])
    expect(translations({ dport: '8080', sport: '55670' })).toEqual([
      { step: 'translation', what: 'destination', address: '198.51.100.20', port: 80 }, { step: 'translation', what: 'source', address: OUTSIDE, port: 55670 },
    ])
    expect(translations({ protocol: 'udp', dport: '53', sport: '5000' })).toEqual([{ step: 'translation', what: 'source', address: OUTSIDE, port: 5000 }])
    const plain = new Traced({ profile: 'behave' }, '')
    const dport53 = { protocol: 'udp', dport: '53', sport: '5000' }
    expect(plain.ask(dport53).steps.filter(({ step }) => step === 'translation')).toEqual([{ step: 'translation', what: 'source', address: OUTSIDE }])
    plain.gateway.fromLan(dns)
    expect(plain.ask({ ...dport53, dport: '54' }).steps.filter(({ step }) => step === 'translation')).toEqual([{ step: 'translation', what: 'source', address: OUTSIDE, port: 5000 }])
  })

  it('is told that no port is left for it', () => {
    const traced = new Traced({}, '*nat\n-A POSTROUTING -p tcp -j MASQUERADE --to-ports 55666-55667\nCOMMIT\n')
    for (const sourcePort of [1001, 1002]) traced.gateway.fromLan(buildTcp({ source: HOST, destination: SERVER, sourcePort, destinationPort: 443, flags: tcp.SYN }))
    expect(traced.ask({ dport: '443', sport: '1003' })).toMatchObject({ result: 'dropped', reason: 'ports-exhausted' })
    expect(traced.ask({ dport: '444', sport: '1003' })).toMatchObject({ result: 'sent' })
  })

  it('may belong to a flow, or be taken for new', () => {
    const traced = new Traced()
    traced.gateway.fromLan(syn)
    const known = traced.ask({ dport: '443', flags: 'ACK' })
    expect(known.steps[1]).toMatchObject({ step: 'flow', new: false })
    expect(known.steps.at(-2)).toMatchObject({ step: 'rewrite', changes: [{ field: 'source', to: OUTSIDE }, { field: 'source port' }, { field: 'TTL' }] })
    expect(known.result).toBe('sent')
    expect(traced.ask({ dport: '443', new: '' }).steps[1]).toEqual({ step: 'no-flow' })
    // The flow goes on as if nobody had asked.
    const outside = traced.gateway.toWan()[0]!.bytes
    const port = new DataView(outside.buffer, outside.byteOffset).getUint16(20)
    traced.gateway.fromWan(buildTcp({ source: SERVER, destination: OUTSIDE, sourcePort: 443, destinationPort: port, flags: tcp.SYN | tcp.ACK, sequence: 900, acknowledgment: 101 })).fromLan(ack)
    expect([traced.gateway.toLan().length, traced.gateway.toWan().length]).toEqual([1, 1])
  })

  it('comes with a mark, for rules and for routing', () => {
    const traced = new Traced({}, '*filter\n-A FORWARD -m mark --mark 0x2333 -j DROP\nCOMMIT\n')
    expect(traced.ask({ dport: '443', mark: '0x2333' })).toMatchObject({ result: 'dropped', reason: 'rule' })
    expect(traced.ask({ dport: '443', mark: '1' })).toMatchObject({ result: 'sent' })
    const idle = new Traced({}, '')
    expect(idle.ask({ dport: '443', mark: '5' }).steps.find(({ step }) => step === 'route')).toMatchObject({ mark: 5 })
    expect(idle.ask({ dport: '443' }).steps.find(({ step }) => step === 'route')).not.toHaveProperty('mark')
  })

  it('may come from outside', () => {
    const traced = new Traced({ forwards: [] }, '*nat\n-A PREROUTING -i eth0 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.9\nCOMMIT\n')
    const record = traced.ask({ src: SERVER, dst: OUTSIDE, dport: '80' }, 1)
    expect(record.steps.filter(({ step }) => step === 'translation')).toEqual([{ step: 'translation', what: 'destination', address: '10.0.0.9', port: 80 }])
    expect(record.steps.at(-1)).toEqual({ step: 'sent', interface: 'tun0' })
    expect(traced.ask({ src: SERVER, dst: OUTSIDE, dport: '81' }, 1)).toMatchObject({ reason: 'no-flow' })
  })
})
