/** Words of iptables that tsnat knows and does not take, each with the reason that its user is told. */

const NO_LINK_LAYER = 'packets of a TUN device have no link layer'
const NO_PROCESSES = 'the gateway sees packets, not the programs and sockets of other machines'
const NO_IPSEC = 'tsnat does not decrypt IPsec'
const NOT_HERE = 'tsnat does not have it'

export const REFUSED_MATCHES: Readonly<Record<string, string>> = {
  owner: NO_PROCESSES, cgroup: NO_PROCESSES,
  mac: NO_LINK_LAYER, physdev: NO_LINK_LAYER, pkttype: NO_LINK_LAYER, devgroup: 'tsnat knows interfaces by name only',
  string: 'looking through payload for text is slow and easily evaded', u32: 'looking through payload by offsets is slow; there are matches for the fields of headers',
  bpf: 'tsnat runs no programs on packets', policy: NO_IPSEC, ah: NO_IPSEC, esp: NO_IPSEC, ipcomp: NO_IPSEC,
  helper: 'tsnat chooses helpers by its configuration', rpfilter: 'tsnat checks the source of every packet by its own configuration',
  connlabel: 'flows in tsnat have a mark and no labels', realm: 'routes in tsnat have no realms', cpu: 'a flow has no processor',
  icmp6: 'rules are for IPv4', icmpv6: 'rules are for IPv4', frag: 'rules are for IPv4', rt: 'rules are for IPv4', hl: 'rules are for IPv4',
  cluster: NOT_HERE, connbytes: NOT_HERE, dccp: NOT_HERE, ecn: NOT_HERE, ipvs: NOT_HERE, nfacct: NOT_HERE, osf: NOT_HERE, quota: NOT_HERE,
  rateest: NOT_HERE, recent: `${NOT_HERE}; a set with a timeout does the same`, sctp: NOT_HERE,
}

export const REFUSED_TARGETS: Readonly<Record<string, string>> = {
  QUEUE: 'tsnat hands no packets to other programs', NFQUEUE: 'tsnat hands no packets to other programs',
  TRACE: '"tsnat trace" shows what happens to a packet', CLASSIFY: 'tsnat has no queueing disciplines',
  CHECKSUM: 'tsnat completes checksums by itself', SECMARK: NOT_HERE, CONNSECMARK: NOT_HERE, AUDIT: NOT_HERE, CLUSTERIP: NOT_HERE,
  ECN: NOT_HERE, HMARK: NOT_HERE, IDLETIMER: NOT_HERE, LED: NOT_HERE, MIRROR: NOT_HERE, RATEEST: NOT_HERE, TCPOPTSTRIP: NOT_HERE,
  TEE: NOT_HERE, ULOG: 'NFLOG took its place', SAME: 'SNAT --persistent does the same', HL: 'rules are for IPv4', DNPT: 'rules are for IPv4',
  SNPT: 'rules are for IPv4',
}
