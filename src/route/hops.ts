/**
 * Next hops: which are dead, and which of several a flow takes.
 *
 * Weighted rendezvous: each next hop draws a number from the flow's hash and its own identity, and the best draw wins. So a flow's
 * choice depends on no other next hop: when one dies, only the flows that it carried move, in proportion to the weights of the
 * others, and when it comes back the same flows return.
 */
import type { NextHop, RouteKey } from './types.js'

const mix = (hash: number, word: number): number => {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

/** Spreads every bit of the input over all of the output. */
const finish = (hash: number): number => {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** Hash of a flow: both addresses, protocol, both ports. @param seed secret, so that nobody can choose where flows go */
export const flowHash = (key: RouteKey, seed: number): number => {
  let hash = mix(seed, key.source)
  hash = mix(hash, key.destination)
  hash = mix(hash, (key.sourcePort << 16) | key.destinationPort)
  return mix(hash, key.protocol)
}

/** Why an interface is not to be used. */
export const LINK_DOWN = 1
export const CHECKS_FAIL = 2
export type DeadCause = typeof LINK_DOWN | typeof CHECKS_FAIL

/** Interfaces and gateways that are not to be used. */
export class DeadHops {
  /** With the causes, bits. */
  readonly #devices = new Map<number, number>()
  /** By interface; most have none. */
  readonly #gateways = new Map<number, Set<number>>()

  /** An interface that is down or gone, or whose checks fail, takes all its next hops with it. @returns whether that is news */
  setDevice(device: number, dead: boolean, cause: DeadCause = LINK_DOWN): boolean {
    const before = this.#devices.get(device) ?? 0
    const causes = dead ? before | cause : before & ~cause
    if (causes === 0) this.#devices.delete(device)
    else this.#devices.set(device, causes)
    return (before === 0) !== (causes === 0)
  }

  /** A gateway that does not answer. @returns whether that is news */
  setGateway(device: number, gateway: number, dead: boolean): boolean {
    const gateways = this.#gateways.get(device)
    if ((gateways?.has(gateway) ?? false) === dead) return false
    if (gateways === undefined) this.#gateways.set(device, new Set([gateway]))
    else if (dead) gateways.add(gateway)
    else if (gateways.size > 1) gateways.delete(gateway)
    else this.#gateways.delete(device)
    return true
  }

  has({ device, gateway }: NextHop): boolean {
    if (this.#devices.has(device)) return true
    return gateway !== null && this.#gateways.size > 0 && this.#gateways.get(device)?.has(gateway) === true
  }
}

/** Whether a next hop may be used: alive, and on the interface that was asked for, if one was. */
const usable = (hop: NextHop, output: number, dead: DeadHops): boolean => (output === 0 || hop.device === output) && !dead.has(hop)

/** Which of a route's next hops a flow takes: its place, or -1 when none can be used. */
export const chooseHop = (hops: readonly NextHop[], key: RouteKey, dead: DeadHops, seed: number): number => {
  if (hops.length === 1) return usable(hops[0]!, key.output, dead) ? 0 : -1
  const hash = flowHash(key, seed)
  let best = -1
  let bestDraw = Infinity
  for (let place = 0; place < hops.length; place++) {
    const hop = hops[place]!
    if (!usable(hop, key.output, dead)) continue
    const own = finish(mix(mix(hash, hop.device), hop.gateway ?? 0))
    const draw = -Math.log(((own >>> 0) + 0.5) / 0x100000000) / hop.weight
    if (draw < bestDraw) {
      bestDraw = draw
      best = place
    }
  }
  return best
}
