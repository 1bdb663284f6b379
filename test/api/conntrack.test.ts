import { describe, expect, it } from 'vitest'
import { formatConntrack } from '../../src/api/conntrack.js'
import { icmpFlow, tcpFlow, udpFlow } from './gateway-double.js'

// Lines that conntrack-tools 1.4.7 printed for a masqueraded veth pair, nf_conntrack_acct=1.
describe('formatConntrack prints as conntrack -L does', () => {
  it('TCP, assured (CT-2)', () => {
    expect(formatConntrack(tcpFlow())).toBe(
      'tcp      6 431998 ESTABLISHED src=10.0.0.2 dst=198.51.100.10 sport=50594 dport=8080 packets=4 bytes=219 src=198.51.100.10 dst=198.51.100.1 sport=8080 dport=50594 packets=3 bytes=167 [ASSURED] mark=0 use=1',
    )
  })
  it('UDP, unreplied (CT-2)', () => {
    expect(formatConntrack(udpFlow())).toBe(
      'udp      17 28 src=10.0.0.2 dst=198.51.100.10 sport=41169 dport=5353 packets=1 bytes=31 [UNREPLIED] src=198.51.100.10 dst=198.51.100.1 sport=5353 dport=41169 packets=0 bytes=0 mark=0 use=1',
    )
  })
  it('ICMP with type, code and id, the reply\'s type inverted (CT-3)', () => {
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
