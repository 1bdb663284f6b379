/**
 * Who is where in the test of rules: few hosts, networks and ports, so that rules and packets meet. What a gateway may choose by
 * itself (an address of a pool, a port of a range) is named by no rule alone.
 */
import type { Side } from '../addresses.js'

/** Interfaces of both gateways. */
export const DEVICE: Record<Side, string> = { lan: 'tun0', wan: 'eth0' }

/** The gateway's own addresses. */
export const OWN_WAN = '203.0.113.1'
export const OWN_LAN = '10.77.0.1'
export const WAN_ROUTER = '203.0.113.9'
export const LAN_ROUTER = '10.77.0.2'

export const INSIDE = ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4', '10.2.0.1', '10.2.0.2', '10.2.0.3'] as const
export const OUTSIDE = ['198.51.100.1', '198.51.100.2', '198.51.100.3', '192.0.2.1', '192.0.2.2'] as const
/** Routers on the way, which send ICMP errors. */
export const ROUTER: Record<Side, string> = { lan: '10.9.0.1', wan: '198.51.100.129' }
export const NETWORKS = ['10.1.0.0/24', '10.2.0.0/24', '10.1.0.0/30', '10.0.0.0/8', '198.51.100.0/24', '192.0.2.0/24', '198.51.100.0/31', '203.0.113.0/24'] as const
/** What NETMAP makes of 10.1.0.0/24 and the other way round. */
export const MAPPED = '192.168.7'
/** Addresses that a gateway chooses from. */
export const SNAT_POOL = { first: '203.0.113.32', last: '203.0.113.35' }
export const DNAT_POOL = { first: '10.3.0.2', last: '10.3.0.5' }

export const SERVICES = [22, 53, 80, 443, 5000, 5001, 8080] as const
/** Client ports: some below 1024, as those change to others below. */
export const CLIENT_PORTS = [400, 700, 1500, 30_000, 40_005] as const
/** Ports that a gateway chooses from. */
export const PORT_RANGES = [[40_000, 40_015], [41_000, 41_003], [1020, 1023]] as const

/** The mark packets that tell when others are through; see bed.ts. They meet rules of their own. */
export const MARK = { inside: '10.254.0.1', remote: '198.51.100.254', port: 9 }
/** The mark on what a gateway says itself. */
export const OWN_MARK = '0x80000000'

/** Sets that rules ask, as `ipset save` has them; rules fill the last one. */
export const SETS = [
  'create hosts hash:ip', 'add hosts 10.1.0.1', 'add hosts 10.2.0.2', 'add hosts 198.51.100.1', 'add hosts 192.0.2.2',
  'create nets hash:net', 'add nets 10.1.0.0/30', 'add nets 10.1.0.2 nomatch', 'add nets 198.51.100.0/24',
  'create services hash:ip,port', 'add services 198.51.100.1,tcp:80', 'add services 198.51.100.2,udp:53', 'add services 10.1.0.2,tcp:443',
  'create seen hash:ip', '',
].join('\n')
