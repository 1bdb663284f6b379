/** Packet sequences out of a seed: who talks to whom, and what is sent step by step. The same seed gives the same sequence. */
import { insideAddress, remoteAddress } from './addresses.js'
import { QueryTalk, UdpTalk } from './datagram-talk.js'
import { OtherTalk, SctpTalk } from './other-talk.js'
import { Dice, type Flow, type Protocol, type Shot } from './talk.js'
import { TcpTalk } from './tcp-talk.js'

export interface Sequence {
  seed: number
  /** Which addresses it uses. */
  number: number
  flows: Flow[]
  shots: Shot[]
}

/** Inside hosts, as the last number of their address. */
const ROUTER = 190
const STRANGER = 2
const OUTSIDE_ROUTER = 3

const talkOf = (dice: Dice, flow: Flow, index: number): { next(): Shot } => {
  switch (flow.protocol) {
    case 'tcp':
      return new TcpTalk(dice, flow, index)
    case 'udp':
      return new UdpTalk(dice, flow, index)
    case 'icmp':
      return new QueryTalk(dice, flow, index)
    case 'sctp':
      return new SctpTalk(dice, flow, index)
    default:
      return new OtherTalk(dice, flow, index)
  }
}

/** 4 to 12 steps of one talk, or of two that would like to have the same outside port. */
export const sequenceOf = (seed: number, number: number): Sequence => {
  const dice = new Dice(seed)
  const protocol = dice.weighted<Protocol>([[56, 'tcp'], [23, 'udp'], [10, 'icmp'], [3, 'udplite'], [4, 'sctp'], [2, 'gre'], [2, 'esp'], [1, 'unknown']])
  const insidePort = dice.weighted([[12, dice.between(1024, 65535)], [1, dice.between(512, 1023)], [1, dice.between(1, 511)]])
  const flowOf = (host: number, remote: number): Flow => ({
    protocol,
    inside: insideAddress(number, host),
    insidePort,
    remote: remoteAddress(number, remote),
    remotePort: protocol === 'icmp' ? 0 : remotePort,
    stranger: remoteAddress(number, STRANGER),
    outsideRouter: remoteAddress(number, OUTSIDE_ROUTER),
    insideRouter: insideAddress(number, ROUTER),
  })
  const remotePort = dice.pick([53, 80, 443, 5060, 8080, 40_000])
  // A second host inside with the same port, to the same remote (where one of them must get another port) or to another.
  const flows = [flowOf(0, 0)]
  if (dice.chance(22)) flows.push(flowOf(1, dice.chance(75) ? 0 : 1))
  const talks = flows.map((flow, index) => talkOf(dice, flow, index))
  const shots = Array.from({ length: dice.between(4, 12) }, () => dice.pick(talks).next())
  return { seed, number, flows, shots }
}
