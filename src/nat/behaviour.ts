/**
 * How a NAT behaves towards the outside, in the words of RFC 4787 sections 4 and 5: when a mapping is used again, and whose
 * packets it lets in. Each depends on nothing of the remote, on its address, or on its address and port.
 */
import * as ipv4 from '../stack/wire/ipv4.js'

export const ENDPOINT_INDEPENDENT = 0
export const ADDRESS_DEPENDENT = 1
export const ADDRESS_AND_PORT_DEPENDENT = 2

/** The words of the configuration, by number. */
export const DEPENDENCES = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const
export type Dependence = (typeof DEPENDENCES)[number]

/**
 * `shared`: one outside port may serve several inside endpoints as long as their remotes differ (RFC 7857 3, as netfilter
 * does it). Then only flows are told apart, and filtering is address and port dependent, whatever it is set to.
 */
export const MAPPINGS = [...DEPENDENCES, 'shared'] as const

/** Behaviour of one protocol. */
export interface Behaviour {
  /** When an inside endpoint keeps its outside endpoint. */
  readonly mapping: (typeof MAPPINGS)[number]
  /** Who may send to an outside endpoint, other than whom it was opened towards. */
  readonly filtering: Dependence
}

export interface Behaviours {
  readonly tcp: Behaviour
  readonly udp: Behaviour
  readonly icmp: Behaviour
}

/** A behaviour as one number: `mapping | filtering << 2`, or one of these. */
export const SHARED = 0x100
/** Addresses and ports stay as they are. */
export const UNTRANSLATED = 0x200

const pack = ({ mapping, filtering }: Behaviour): number =>
  mapping === 'shared' ? SHARED : DEPENDENCES.indexOf(mapping) | (DEPENDENCES.indexOf(filtering) << 2)

/** Packed behaviours, indexed by IP protocol number. UDP-Lite goes with UDP, SCTP with TCP; what has no ports has nothing to keep. */
export const behaviourColumn = ({ tcp, udp, icmp }: Behaviours): Int32Array => {
  const column = new Int32Array(256).fill(SHARED)
  column[ipv4.PROTOCOL_TCP] = pack(tcp)
  column[ipv4.PROTOCOL_UDP] = pack(udp)
  column[ipv4.PROTOCOL_ICMP] = pack(icmp)
  column[ipv4.PROTOCOL_UDPLITE] = pack(udp)
  column[ipv4.PROTOCOL_SCTP] = pack(tcp)
  return column
}

/** What netfilter's masquerade does. */
export const NETFILTER: Behaviour = { mapping: 'shared', filtering: 'address-and-port-dependent' }
