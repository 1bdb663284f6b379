/**
 * How a NAT behaves towards the outside, in the words of RFC 4787 sections 4 and 5: when a mapping is used again, and whose
 * packets it lets in. Each depends on nothing of the remote, on its address, or on its address and port.
 */
import * as ipv4 from '../stack/wire/ipv4.js'
import { PORT_SELECTIONS, type PortSelection } from './settings.js'

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

/** A behaviour as one number: `mapping | filtering << 2 | selection << 4`, or one of these instead of mapping and filtering. */
export const SHARED = 0x100
/** Addresses and ports stay as they are. */
export const UNTRANSLATED = 0x200

/** Bits of mapping and filtering. */
export const BEHAVIOUR_MASK = 0x0f
const SELECTION_SHIFT = 4
const SELECTION_MASK = 0x03

/** How a port is chosen: indexes of PORT_SELECTIONS. */
export const SELECT_PRESERVE = 0
export const SELECT_SEQUENTIAL = 3

/** How a packed behaviour chooses ports. */
export const selectionOf = (behaviour: number): number => (behaviour >>> SELECTION_SHIFT) & SELECTION_MASK

/** Whether a packed behaviour shares ports. */
export const isShared = (behaviour: number): boolean => (behaviour & SHARED) !== 0

const pack = ({ mapping, filtering }: Behaviour): number =>
  mapping === 'shared' ? SHARED : DEPENDENCES.indexOf(mapping) | (DEPENDENCES.indexOf(filtering) << 2)

/**
 * Packed behaviours, indexed by IP protocol number. UDP-Lite goes with UDP, SCTP with TCP; what has no ports has nothing to keep.
 * @param selection how all of them choose ports
 */
export const behaviourColumn = ({ tcp, udp, icmp }: Behaviours, selection: PortSelection = 'preserve'): Int32Array => {
  const column = new Int32Array(256).fill(SHARED)
  column[ipv4.PROTOCOL_TCP] = pack(tcp)
  column[ipv4.PROTOCOL_UDP] = pack(udp)
  column[ipv4.PROTOCOL_ICMP] = pack(icmp)
  column[ipv4.PROTOCOL_UDPLITE] = pack(udp)
  column[ipv4.PROTOCOL_SCTP] = pack(tcp)
  return column.map((behaviour) => behaviour | (PORT_SELECTIONS.indexOf(selection) << SELECTION_SHIFT))
}

/** What netfilter's masquerade does. */
export const NETFILTER: Behaviour = { mapping: 'shared', filtering: 'address-and-port-dependent' }
