import { describe, expect, it } from 'vitest'
import { formatConntrack, formatConntrackEvent } from '../../src/api/conntrack.js'
import type { FlowChange, FlowRecord } from '../../src/api/types.js'
import { icmpFlow, tcpFlow, udpFlow } from './gateway-double.js'

// Lines that conntrack-tools 1.4.7 printed for a masqueraded veth pair, nf_conntrack_acct=1.
describe('formatConntrack prints as conntrack -L does', () => {
  it('CT-2: TCP, assured', () => {
    expect(formatConntrack(tcpFlow())).toBe(
      'tcp      6 431998 ESTABLISHED src=10.0.0.2 dst=198.51.100.10 sport=50594 dport=8080 packets=4 bytes=219 src=198.51.100.10 dst=198.51.100.1 sport=8080 dport=50594 packets=3 bytes=167 [ASSURED] mark=0 use=1',
    )
  })
  it('CT-2: UDP, unreplied', () => {
    expect(formatConntrack(udpFlow())).toBe(
      'udp      17 28 src=10.0.0.2 dst=198.51.100.10 sport=41169 dport=5353 packets=1 bytes=31 [UNREPLIED] src=198.51.100.10 dst=198.51.100.1 sport=5353 dport=41169 packets=0 bytes=0 mark=0 use=1',
    )
  })
  it('CT-3: ICMP with type, code and id, the reply\'s type inverted', () => {
    expect(formatConntrack(icmpFlow())).toBe(
      'icmp     1 28 src=10.0.0.2 dst=198.51.100.10 type=8 code=0 id=5839 packets=2 bytes=168 src=198.51.100.10 dst=198.51.100.1 type=0 code=0 id=5839 packets=2 bytes=168 mark=0 use=1',
    )
  })
  it('-o extended,id', () => {
    expect(formatConntrack({ ...icmpFlow(), mark: 35 }, { extended: true, id: true })).toBe(
      'ipv4     2 icmp     1 28 src=10.0.0.2 dst=198.51.100.10 type=8 code=0 id=5839 packets=2 bytes=168 src=198.51.100.10 dst=198.51.100.1 type=0 code=0 id=5839 packets=2 bytes=168 mark=35 use=1 id=3830404494',
    )
  })
})

// Lines that conntrack-tools 1.4.7 printed beside a masquerade of Linux 6.18; timeouts had been lowered.
describe('formatConntrackEvent prints as conntrack -E does', () => {
  const flow = (port: number, protocol: 'tcp' | 'udp', change: Partial<FlowRecord>): FlowRecord => ({
    id: '1733396587',
    protocol,
    protonum: protocol === 'tcp' ? 6 : 17,
    state: null,
    timeout: 3,
    original: { src: '192.168.1.2', dst: '203.0.113.9', sport: port, dport: protocol === 'tcp' ? 80 : 53, packets: 1, bytes: 60 },
    reply: { src: '203.0.113.9', dst: '203.0.113.1', sport: protocol === 'tcp' ? 80 : 53, dport: port, packets: 0, bytes: 0 },
    replied: true,
    assured: false,
    mark: 0,
    ...change,
  })
  const event = (type: FlowChange['type'], of: FlowRecord): FlowChange => ({ type, time: 1795167009016, flow: of })

  it('CT-3: the words right-aligned in 9, without counters, mark and use', () => {
    expect(formatConntrackEvent(event('new', flow(40001, 'tcp', { state: 'SYN_SENT', replied: false })))).toBe(
      '    [NEW] tcp      6 3 SYN_SENT src=192.168.1.2 dst=203.0.113.9 sport=40001 dport=80 [UNREPLIED] src=203.0.113.9 dst=203.0.113.1 sport=80 dport=40001',
    )
    expect(formatConntrackEvent(event('update', flow(40001, 'tcp', { state: 'ESTABLISHED', timeout: 432000, assured: true })))).toBe(
      ' [UPDATE] tcp      6 432000 ESTABLISHED src=192.168.1.2 dst=203.0.113.9 sport=40001 dport=80 src=203.0.113.9 dst=203.0.113.1 sport=80 dport=40001 [ASSURED]',
    )
    expect(formatConntrackEvent(event('update', flow(40004, 'udp', {})))).toBe(
      ' [UPDATE] udp      17 3 src=192.168.1.2 dst=203.0.113.9 sport=40004 dport=53 src=203.0.113.9 dst=203.0.113.1 sport=53 dport=40004',
    )
  })

  it('CT-3: the end with counters, of an expired flow without timeout', () => {
    expect(formatConntrackEvent(event('destroy', flow(40007, 'tcp', { state: 'SYN_SENT', timeout: 0, replied: false })))).toBe(
      '[DESTROY] tcp      6 SYN_SENT src=192.168.1.2 dst=203.0.113.9 sport=40007 dport=80 packets=1 bytes=60 [UNREPLIED] src=203.0.113.9 dst=203.0.113.1 sport=80 dport=40007 packets=0 bytes=0',
    )
    const { original, reply } = flow(40008, 'udp', {})
    const counted = { timeout: 2, original: { ...original, bytes: 29 }, reply: { ...reply, packets: 1, bytes: 29 } }
    expect(formatConntrackEvent({ ...event('destroy', flow(40008, 'udp', counted)), portid: 3199741760 }, { extended: true, id: true })).toBe(
      '[DESTROY] ipv4     2 udp      17 2 src=192.168.1.2 dst=203.0.113.9 sport=40008 dport=53 packets=1 bytes=29 src=203.0.113.9 dst=203.0.113.1 sport=53 dport=40008 packets=1 bytes=29 id=1733396587 [USERSPACE] portid=3199741760',
    )
  })

  it('CT-3: ICMP; -o timestamp,extended,id', () => {
    const ping = { ...icmpFlow(), id: '2082064683', timeout: 2, replied: false }
    expect(formatConntrackEvent(event('new', ping), { timestamp: true, extended: true, id: true })).toBe(
      '[1795167009.016000]\t    [NEW] ipv4     2 icmp     1 2 src=10.0.0.2 dst=198.51.100.10 type=8 code=0 id=5839 [UNREPLIED] src=198.51.100.10 dst=198.51.100.1 type=0 code=0 id=5839 id=2082064683',
    )
  })
})
