/**
 * The two profiles: what the RFCs ask of a NAT, and what Linux's masquerade does. Both cannot be had at once: mapping,
 * filtering and nearly every timer contradict each other. Each setting can be set alone on top of its profile.
 */
import { type Behaviour, NETFILTER } from './behaviour.js'
import type { LimitSettings, NatSettings } from './settings.js'
import type { Timeouts } from './timeouts.js'

export const PROFILE_NAMES = ['behave', 'linux'] as const
export type ProfileName = (typeof PROFILE_NAMES)[number]

export interface Profile {
  readonly nat: NatSettings
  /** Seconds. `fragments`: that a datagram in pieces may take. */
  readonly timeouts: Readonly<Timeouts & { fragments: number }>
  readonly limits: LimitSettings
}

const TRANSPARENT: Behaviour = { mapping: 'endpoint-independent', filtering: 'address-dependent' }

const LIMITS: LimitSettings = {
  flows: 262_144,
  flowsPerSource: 0,
  newFlowsPerSource: 0,
  halfOpen: 0,
  halfOpenPerSource: 0,
  fragmentBytes: 4_194_304,
  icmpErrorsPerSecond: 1000,
  sockets: 65_536,
  refusal: 'host-unreachable',
  makeRoom: true,
}

/** RFC 4787, 5382, 5508, 7857, 6888. */
const BEHAVE: Profile = {
  nat: {
    tcp: { ...TRANSPARENT, states: 'rfc', window: true, pickup: false, unsolicitedSyn: 'hold' },
    udp: TRANSPARENT,
    icmp: TRANSPARENT,
    otherProtocols: 'refuse',
    verifyChecksums: false,
    forgetWhenDown: false,
    ports: { selection: 'preserve', parity: false, hold: 120, holdMax: 32_768, blockSize: 0, blocksPerHost: 8 },
    pool: null,
    pooling: 'paired',
    deterministic: null,
    rules: [],
  },
  // RFC 4787 REQ-5 (at least 120 s, 300 recommended), RFC 5508 REQ-2 (60 s), RFC 5382 REQ-5 (2 h 4 min, half closed too; 4 min
  // transitory), RFC 7857 2.2 (4 min after a RST). No RFC lets data that is not acknowledged, or is repeated, shorten them.
  timeouts: {
    udp: 300, udpStream: 300, icmp: 60,
    tcpSynSent: 240, tcpSynRecv: 240, tcpEstablished: 7440, tcpFinWait: 7440, tcpCloseWait: 7440,
    tcpLastAck: 240, tcpTimeWait: 240, tcpClose: 240, tcpUnacknowledged: 7440, tcpMaxRetrans: 7440,
    sctp: 240, sctpEstablished: 7440, gre: 300, greStream: 300, generic: 600,
    fragments: 30,
  },
  limits: LIMITS,
}

/** Linux 6.x: nf_conntrack and MASQUERADE. */
const LINUX: Profile = {
  nat: {
    ...BEHAVE.nat,
    tcp: { ...NETFILTER, states: 'netfilter', window: true, pickup: true, unsolicitedSyn: 'drop' },
    udp: NETFILTER,
    icmp: NETFILTER,
    otherProtocols: 'by-address',
    verifyChecksums: true,
    forgetWhenDown: true,
    ports: { ...BEHAVE.nat.ports, hold: 0 },
    pooling: 'arbitrary',
  },
  timeouts: {
    udp: 30, udpStream: 120, icmp: 30,
    tcpSynSent: 120, tcpSynRecv: 60, tcpEstablished: 432_000, tcpFinWait: 120, tcpCloseWait: 60,
    tcpLastAck: 30, tcpTimeWait: 120, tcpClose: 10, tcpUnacknowledged: 300, tcpMaxRetrans: 300,
    sctp: 3, sctpEstablished: 210, gre: 30, greStream: 180, generic: 600,
    fragments: 30,
  },
  limits: { ...LIMITS, refusal: 'prohibited' },
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = { behave: BEHAVE, linux: LINUX }
