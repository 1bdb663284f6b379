/** How the NAT behaves: what the configuration and the profiles say, and the data plane obeys. */
import type { Behaviour, Behaviours } from './behaviour.js'

/** How an outside port is chosen for a new mapping. */
export const PORT_SELECTIONS = ['preserve', 'random', 'fully-random', 'sequential'] as const
export type PortSelection = (typeof PORT_SELECTIONS)[number]

/** Which address of the pool an inside host gets: always one and the same, another one when that is full, any. */
export const POOLINGS = ['paired', 'paired-soft', 'arbitrary'] as const

/** What the sender of a refused first packet is told: ICMP 3/1, ICMP 3/13, nothing. */
export const REFUSALS = ['host-unreachable', 'prohibited', 'silent'] as const

/** What becomes of TCP flows of a link that is dead: at its next packet the inside host gets a RST, or an ICMP error, or nothing happens to them. */
export const DEAD_FLOWS = ['reset', 'icmp', 'leave'] as const

/** What becomes of protocols that have neither ports nor a tracker of their own. */
export const OTHER_PROTOCOLS = ['refuse', 'by-address'] as const

/** What becomes of a SYN from outside that nobody waits for: held for 6 s in case that its opposite comes (RFC 5382 REQ-4), or dropped. */
export const UNSOLICITED_SYNS = ['hold', 'drop'] as const

/** Of what a line is logged when it begins and when it ends. */
export const BINDING_LOGS = ['off', 'mappings', 'flows', 'blocks'] as const
export type BindingLogMode = (typeof BINDING_LOGS)[number]
/**
 * Whose TCP states. `rfc`: RFC 5382 and 7857: half closed until both ends have sent a FIN; data after a RST takes it back.
 * `netfilter`: those of Linux's conntrack: a repeated FIN ends it as well, a RST is final, and as the only answer ends the flow at once.
 */
export const TCP_STATES = ['rfc', 'netfilter'] as const

export interface TcpBehaviour extends Behaviour {
  readonly states: (typeof TCP_STATES)[number]
  /** Watch sequence numbers: what is out of window is dropped and drives no state. */
  readonly window: boolean
  /** A segment without SYN from inside may open a flow. */
  readonly pickup: boolean
  readonly unsolicitedSyn: (typeof UNSOLICITED_SYNS)[number]
}

export interface PortSettings {
  readonly selection: PortSelection
  /** Even ports become even ones, odd ports odd ones (RFC 4787 REQ-4). */
  readonly parity: boolean
  /** Seconds that a port rests after its mapping has ended (RFC 6888 REQ-8). */
  readonly hold: number
  /** Ports that rest at a time at most; then the one that rests longest is anybody's again. */
  readonly holdMax: number
  /** Ports of a block that one inside host gets at a time; 0: no blocks. */
  readonly blockSize: number
  /** Blocks of one inside host at most. */
  readonly blocksPerHost: number
}

/** Deterministic NAT (RFC 7422): which inside host has which ports is computed, not stored. */
export interface DeterministicSettings {
  /** Network of the inside hosts, `10.77.0.0/24`. */
  readonly inside: string
  /** Lowest ports, which nobody gets. */
  readonly reserved: number
  /** Share of the ports that is kept for hosts that need more than their own: D of RFC 7422, 0 for none. */
  readonly dynamic: number
  /** Ports of one host at most: M of RFC 7422, 0 for no other bound. */
  readonly perHost: number
}

/** Rules at most; a flow remembers its rule in a byte. */
export const RULES_MAX = 255

/** Flows of these first packets behave otherwise. The first rule that fits counts; what it leaves out is as without it. */
export interface NatRule {
  /** Network of the inside host. */
  readonly from?: string | undefined
  /** Network of the remote. */
  readonly to?: string | undefined
  readonly protocol?: 'tcp' | 'udp' | 'icmp' | undefined
  /** Ports of the remote, `53,5000-5010`. */
  readonly ports?: string | undefined
  readonly mapping?: Behaviour['mapping'] | undefined
  readonly filtering?: Behaviour['filtering'] | undefined
  readonly selection?: PortSelection | undefined
  /** Flows of this rule at most. */
  readonly flows?: number | undefined
  /** false: addresses and ports stay as they are (RFC 6888 REQ-6). */
  readonly translate?: boolean | undefined
}

export interface NatSettings extends Behaviours {
  readonly tcp: TcpBehaviour
  readonly otherProtocols: (typeof OTHER_PROTOCOLS)[number]
  /** Drop TCP, UDP and ICMP packets whose checksum is wrong, rather than leave that to the receiver (nf_conntrack_checksum). */
  readonly verifyChecksums: boolean
  /** Flows end when the WAN interface is taken down (not when it loses its carrier), as those of MASQUERADE do. */
  readonly forgetWhenDown: boolean
  readonly ports: PortSettings
  /** Outside addresses, `203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30`; null: the one that the route says. */
  readonly pool: string | null
  readonly pooling: (typeof POOLINGS)[number]
  readonly deterministic: DeterministicSettings | null
  readonly rules: readonly NatRule[]
}

/** What may be used at most. 0 is no limit where nothing else is said. */
export interface LimitSettings {
  /** Flows in total. */
  readonly flows: number
  /** Flows of one inside address. */
  readonly flowsPerSource: number
  /** New flows a second of one inside address; twice as many at once. */
  readonly newFlowsPerSource: number
  /** TCP flows that are not established yet, in total and of one inside address. */
  readonly halfOpen: number
  readonly halfOpenPerSource: number
  /** Bytes of fragments that wait for their first. */
  readonly fragmentBytes: number
  /** ICMP errors of its own a second; 0 for none at all. */
  readonly icmpErrorsPerSecond: number
  /** Sockets of the gateway's own at a time, those in TIME_WAIT included. */
  readonly sockets: number
  readonly refusal: (typeof REFUSALS)[number]
  /**
   * In a flood of forged inside addresses, when everything is in use, flows of addresses that never had an assured one give
   * way to those that had, or have none yet (make-room.ts). false: nothing that lives ever gives way.
   */
  readonly makeRoom: boolean
}
