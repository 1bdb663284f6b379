/**
 * Why a packet was dropped. One list is the code, the counter and the text at once: the data plane returns the number and
 * adds one to the counter at that index; `status` prints the name; docs and `--help` print the explanation.
 */
const REASONS = [
  ['none', 'not dropped'],
  ['short', 'fewer bytes than an IPv4 header, or than its total length says (RFC 1812 5.2.2)'],
  ['bad-version', 'IP version is not 4; IPv6 is not handled'],
  ['bad-header-length', 'IHL below 5, or header longer than the datagram (RFC 1812 5.2.2)'],
  ['bad-header-checksum', 'IPv4 header checksum is wrong (RFC 1812 5.2.2)'],
  ['bad-transport', 'transport header missing, truncated or with impossible lengths'],
  ['bad-fragment', 'fragment with an impossible length or offset (RFC 791, 1858, 3128)'],
  ['bad-offload', 'virtio header that does not fit the packet: an unfinished checksum or segments where there can be none'],
  ['bad-checksum', 'TCP, UDP or ICMP packet whose checksum is wrong (nat.verifyChecksums)'],
  ['bad-icmp-checksum', 'ICMP error with a wrong checksum, its own or the quoted header\'s (RFC 5508 REQ-3)'],
  ['bad-quote', 'ICMP error that quotes too little to tell whose it is'],
  ['source-route', 'loose or strict source route option, in the header or in what an ICMP error quotes (RFC 7126 4.3, 4.4)'],
  ['invalid-source', 'source address that no packet may have: 0/8, 127/8, multicast, 240/4; from outside, the WAN\'s own (RFC 1812 5.3.7)'],
  ['invalid-destination', 'destination that is never forwarded to: 0/8, 127/8, multicast, broadcast, also of a subnet, 240/4 (RFC 1812 5.3.5, RFC 2644)'],
  ['ttl-expired', 'TTL ran out; the sender is told with ICMP 11/0'],
  ['too-big', 'longer than the egress MTU with DF set; the sender is told with ICMP 3/4'],
  ['no-route', 'no route to the destination; the sender is told with ICMP 3/0'],
  ['route-blackhole', 'a route or rule of type blackhole takes it'],
  ['route-unreachable', 'a route of type unreachable takes it; the sender is told with ICMP 3/1'],
  ['route-prohibited', 'a route or rule of type prohibit takes it; the sender is told with ICMP 3/13'],
  ['link-dead', 'its flow left by a link that cannot be used any more, with an address of that link (deadFlows)'],
  ['no-address', 'the WAN has no address to translate to'],
  ['wan-down', 'the WAN interface is down'],
  ['next-hop-unresolved', 'the next hop did not answer; the sender is told with ICMP 3/1'],
  ['next-hop-queue-full', 'too many packets wait for a next hop to be resolved'],
  ['filtered', 'came from outside for a mapping whose filtering does not admit the sender (RFC 4787 5)'],
  ['no-flow', 'came from outside and belongs to no flow'],
  ['not-a-flow-opener', 'came from inside, belongs to no flow and cannot open one (TCP without SYN, SCTP without INIT, ICMP reply, source port 0)'],
  ['out-of-window', 'TCP segment whose numbers are not of its connection (RFC 5382 REQ-5, RFC 7857 2.2)'],
  ['out-of-state', 'TCP segment that has no place in the state of its connection, or flags that no TCP sends (`nat.tcp.states: netfilter`)'],
  ['protocol-refused', 'protocol that is not translated (nat.otherProtocols), AH in any case; the sender is told with ICMP 3/2, or 3/13'],
  ['icmp-refused', 'ICMP type that is neither query, reply nor error about a flow; source quench (RFC 6633)'],
  ['table-full', 'the flow table is at its limit'],
  ['ports-exhausted', 'no external port or id is free towards that destination'],
  ['source-limit', 'the inside address has as many flows as one may have (limits.flowsPerSource)'],
  ['rate-limit', 'the inside address opens flows faster than it may (limits.newFlowsPerSource)'],
  ['half-open-limit', 'too many TCP flows are not established yet, in total or of the inside address (limits.halfOpen, limits.halfOpenPerSource)'],
  ['rule-limit', 'the rule that fits has as many flows as it may have (nat.rules)'],
  ['rule', 'a rule, or the policy of a chain, says DROP'],
  ['rule-rejected', 'a rule says REJECT; the sender is told as it asks'],
  ['no-socket', 'a rule says TPROXY, and no transparent socket is there to take it'],
  ['socket-queue-full', 'for a socket of tsnat\'s own, and more packets wait for the sockets than the queue holds'],
  ['no-ports-for-host', 'the inside host is not of the network of deterministic NAT, so it has no ports'],
  ['fragment-limit', 'too many fragments wait for the first of their datagram, from its source or in all'],
  ['fragment-orphan', 'its datagram\'s first fragment was dropped, or its flow has ended'],
  ['fragment-expired', 'the first fragment of the datagram never came'],
  ['fragment-duplicate', 'all of it has come before in other fragments of its datagram'],
  ['fragment-overlap', 'contradicts another fragment of its datagram, or belongs to one in which that happened (RFC 5722)'],
  ['sctp-fragment', 'SCTP in fragments through a changed port: the checksum covers all of it and cannot be changed by a part'],
  ['scratch-full', 'more generated packets in one turn than the scratch region holds'],
  ['to-gateway', 'addressed to the gateway itself, which offers nothing there'],
  ['deleted', 'was waiting for a next hop when its flow was deleted'],
] as const

type ReasonName = (typeof REASONS)[number][0]

/** Drop codes by name. `Drop['no-flow']` is the number. */
export const Drop = Object.fromEntries(REASONS.map(([name], code) => [name, code])) as { readonly [name in ReasonName]: number }

/** Names by code. */
export const DROP_NAMES: readonly ReasonName[] = REASONS.map(([name]) => name)

/** Explanations by code. */
export const DROP_TEXTS: readonly string[] = REASONS.map(([, text]) => text)
