/**
 * Runs sequences through a gateway, many at once and in step: the first shot of each, then the second of each, and so on. Each has
 * addresses of its own, by which what comes out finds its sequence again.
 */
import { formatIpv4, parseIpv4 } from '../../../src/stack/wire/address.js'
import * as icmp4 from '../../../src/stack/wire/icmp4.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import { OUTSIDE, type Side } from './addresses.js'
import type { GatewayUnderTest } from './bed.js'
import { describe, observe, PortNames, type Seen } from './observe.js'
import type { Sequence } from './sequence.js'
import type { Flow } from './talk.js'

/** One step of one sequence at one gateway. */
export interface Step {
  /** What went in, as text. */
  sent: string[]
  /** What came out, in order: first on the LAN, then on the WAN. */
  seen: Seen[]
}

/** IP protocols. */
const HAS_PORTS = new Set([ipv4.PROTOCOL_TCP, ipv4.PROTOCOL_UDP, ipv4.PROTOCOL_SCTP, ipv4.PROTOCOL_UDPLITE])

/** Whether a packet shows the endpoint that the flow has inside. */
const isFrom = (packet: Uint8Array, { inside, insidePort, protocol }: Flow): boolean => {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const port = ipv4.headerLength(view, 0) + (protocol === 'icmp' ? 4 : 0)
  return ipv4.fragmentOffset(view, 0) === 0 && formatIpv4(ipv4.source(view, 0)) === inside && packet.length >= port + 2 && view.getUint16(port) === insidePort
}

/** A sequence on its way through a gateway. */
class Run {
  readonly sequence: Sequence
  readonly steps: Step[] = []
  readonly names: PortNames
  /** Outside ports by flow: the inside ones until another is seen. */
  readonly #ports: number[]
  /** The step in hand is a packet from inside whose outside port is the flow's. */
  #isTelling = false

  constructor(sequence: Sequence) {
    this.sequence = sequence
    this.names = new PortNames(sequence.flows.flatMap(({ insidePort }) => [insidePort, insidePort ^ 0x0202, insidePort ^ 0x0101]))
    this.#ports = sequence.flows.map(({ insidePort }) => insidePort)
  }

  shoot(step: number): { side: Side; packets: Uint8Array[] } {
    const shot = this.sequence.shots[step]!
    const packets = shot.build(this.#ports[shot.flow]!)
    this.#isTelling = shot.side === 'lan' && packets.some((packet) => isFrom(packet, this.sequence.flows[shot.flow]!))
    this.steps.push({ sent: packets.map((packet) => `${shot.side}: ${describe(packet, this.names)}`), seen: [] })
    return { side: shot.side, packets }
  }

  take(side: Side, packet: Uint8Array): void {
    const shot = this.sequence.shots[this.steps.length - 1]!
    if (side === 'wan' && this.#isTelling) this.#learn(this.sequence.flows[shot.flow]!, shot.flow, packet)
    this.steps.at(-1)!.seen.push(observe(side, packet, this.names))
  }

  /** What goes out by a flow shows the outside port that it has. */
  #learn(flow: Flow, index: number, packet: Uint8Array): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
    const at = ipv4.headerLength(view, 0)
    if (packet.length < at + 8 || ipv4.fragmentOffset(view, 0) !== 0) return
    if (formatIpv4(ipv4.source(view, 0)) !== OUTSIDE || formatIpv4(ipv4.destination(view, 0)) !== flow.remote) return
    const protocol = ipv4.protocol(view, 0)
    if (protocol === ipv4.PROTOCOL_ICMP) {
      if (flow.protocol === 'icmp' && icmp4.isRequest(icmp4.type(view, at))) this.#have(index, icmp4.identifier(view, at))
    } else if (HAS_PORTS.has(protocol) && view.getUint16(at + 2) === flow.remotePort) {
      this.#have(index, view.getUint16(at))
    }
  }

  #have(index: number, port: number): void {
    this.#ports[index] = port
    if (port !== this.sequence.flows[index]!.insidePort) this.names.give(port, index)
  }
}

/** Steps by sequence, and packets that belong to none, as text. */
export interface Replay {
  steps: Step[][]
  strays: string[]
}

/** Every address that only this sequence has. */
const addressesOf = ({ flows }: Sequence): Set<string> =>
  new Set(flows.flatMap((flow) => [flow.inside, flow.remote, flow.stranger, flow.outsideRouter, flow.insideRouter]))

/** Sequences at a time: few enough that the shortest timeout, 3 s of SCTP, is far away, many enough to be quick. */
const GROUP = 250

export const replay = async (gateway: GatewayUnderTest, sequences: readonly Sequence[]): Promise<Replay> => {
  const result: Replay = { steps: [], strays: [] }
  for (let done = 0; done < sequences.length; done += GROUP) {
    const { steps, strays } = await replayGroup(gateway, sequences.slice(done, done + GROUP))
    result.steps.push(...steps)
    result.strays.push(...strays)
  }
  return result
}

const replayGroup = async (gateway: GatewayUnderTest, sequences: readonly Sequence[]): Promise<Replay> => {
  const runs = sequences.map((sequence) => new Run(sequence))
  const owners = new Map<number, Run>()
  for (const run of runs) for (const address of addressesOf(run.sequence)) owners.set(parseIpv4(address)!, run)
  const strays: string[] = []
  const longest = Math.max(...sequences.map(({ shots }) => shots.length))
  for (let step = 0; step < longest; step++) {
    const packets: Record<Side, Uint8Array[]> = { lan: [], wan: [] }
    for (const run of runs) {
      if (step >= run.sequence.shots.length) continue
      const shot = run.shoot(step)
      packets[shot.side].push(...shot.packets)
    }
    const output = await gateway.exchange(packets.lan, packets.wan)
    for (const side of ['lan', 'wan'] as const) {
      for (const packet of output[side]) {
        const owner = owners.get(new DataView(packet.buffer, packet.byteOffset).getInt32(16))
        if (owner === undefined) strays.push(observe(side, packet, new PortNames([])).line)
        else owner.take(side, packet)
      }
    }
  }
  return { steps: runs.map((run) => run.steps), strays }
}
