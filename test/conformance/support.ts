/** Gateways of either profile that watch themselves: every packet sent is verified, and a dropped packet leaves no flow. */
import type { Behaviour } from '../../src/nat/behaviour.js'
import type { ProfileName } from '../../src/nat/profiles.js'
import type { SentPacket, VnetHeader } from '../../src/stack/device/memory.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { describePacket } from '../../src/testing/describe-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpEcho, buildUdp } from '../../src/testing/packets.js'
import { end, type End, packet, type Protocol } from '../behaviours.js'
import { E, from, only, u16 } from '../stack/support.js'

export * from '../behaviours.js'
export * from '../stack/support.js'
export { checkPacket } from '../../src/testing/check-packet.js'
export * from '../../src/testing/packets.js'

/** A second outside address. */
export const E2 = '203.0.113.2'
/** A third inside host. */
export const C = '10.0.0.4'
/** A router outside, on the way to P. */
export const RO = '192.0.2.1'
export const PROTOCOLS: readonly Protocol[] = ['udp', 'tcp']

export class WatchedGateway extends MemoryGateway {
  /** Packets that are wrong on purpose leave wrong. */
  isLenient = false

  override fromLan(bytes: Uint8Array, vnet?: Partial<VnetHeader>): this {
    return this.#watched(() => super.fromLan(bytes, vnet))
  }

  override fromWan(bytes: Uint8Array, vnet?: Partial<VnetHeader>): this {
    return this.#watched(() => super.fromWan(bytes, vnet))
  }

  override toLan(): SentPacket[] {
    return this.#verified(super.toLan())
  }

  override toWan(): SentPacket[] {
    return this.#verified(super.toWan())
  }

  get dropped(): number {
    return Object.values(this.drops).reduce((sum, count) => sum + count, 0)
  }

  #watched(inject: () => void): this {
    const [flows, dropped, isAlone] = [this.flows, this.dropped, this.lan.pending + this.wan.pending === 0]
    inject()
    if (isAlone && this.dropped > dropped && this.flows > flows) throw new Error(`a dropped packet left a flow: ${JSON.stringify(this.drops)}`)
    return this
  }

  #verified(sent: SentPacket[]): SentPacket[] {
    const problems = this.isLenient ? [] : sent.flatMap(({ bytes, vnet }) => checkPacket(bytes, vnet).map((text) => `${text}: ${describePacket(bytes)}`))
    if (problems.length > 0) throw new Error(problems.join('\n'))
    return sent
  }
}

/** A gateway with the settings of a profile, and what `options` say otherwise. */
export const gatewayOf = (profile: ProfileName, options: MemoryGatewayOptions = {}): WatchedGateway => new WatchedGateway({ profile, ...options })

/** The options that give every protocol this behaviour. */
export const all = (behaviour: Partial<Behaviour>): MemoryGatewayOptions => {
  const full: Behaviour = { mapping: 'endpoint-independent', filtering: 'address-dependent', ...behaviour }
  return { behaviours: { tcp: full, udp: full, icmp: full } }
}

/** Sends one packet from inside. The one that leaves for it. */
export const outward = (gateway: MemoryGateway, bytes: Uint8Array): Uint8Array => only(gateway.fromLan(bytes).toWan())
/** Sends one packet from outside. The one that arrives inside for it. */
export const inward = (gateway: MemoryGateway, bytes: Uint8Array): Uint8Array => only(gateway.fromWan(bytes).toLan())
/** Sends one packet from inside. The one that comes back inside: an answer of the gateway, or a hairpin. */
export const back = (gateway: MemoryGateway, bytes: Uint8Array): Uint8Array => only(gateway.fromLan(bytes).toLan())

/** The outside endpoint from which a first packet leaves. */
export const outside = (gateway: MemoryGateway, protocol: Protocol, inside: End, remote: End): string =>
  from(outward(gateway, packet(protocol, inside, remote)))

/** Nothing was sent to either side. */
export const silent = (gateway: MemoryGateway): boolean => gateway.toLan().length + gateway.toWan().length === 0

/** Nothing comes of it, on either side. */
export const swallows = (gateway: MemoryGateway, side: 'lan' | 'wan', bytes: Uint8Array): boolean =>
  silent(side === 'lan' ? gateway.fromLan(bytes) : gateway.fromWan(bytes))

/** A ping from inside: the id that it leaves with. */
export const ping = (gateway: MemoryGateway, source: string, destination: string, identifier = 7): number =>
  u16(outward(gateway, buildIcmpEcho({ source, destination, identifier })), 24)
/** The reply to a ping arrives inside. */
export const pong = (gateway: MemoryGateway, source: string, identifier: number, destination = E): Uint8Array =>
  inward(gateway, buildIcmpEcho({ source, destination, identifier, reply: true }))

/** A datagram of `length` bytes from inside in pieces of at most `mtu` bytes. */
export const pieces = (source: End, destination: End, id: number, length: number, mtu = 500): Uint8Array[] =>
  buildFragments(
    buildUdp({ source: source.address, sourcePort: source.port, destination: destination.address, destinationPort: destination.port, id, payload: new Uint8Array(length).fill(id) }),
    mtu,
  )

/** Whether a flow that was left alone is alive after `seconds` and over one or two seconds later. */
export const endsAfter = (make: () => MemoryGateway, seconds: number): [aliveBefore: number, aliveAfter: number] => {
  const gateway = make()
  gateway.advance(seconds - 1)
  const before = gateway.flows
  gateway.advance(3)
  return [before, gateway.flows]
}

export const HOST = (address: string, port = 5000): End => end(address, port)

/** The source ports of what was sent, each once, in order. */
export const portsOf = (sent: readonly { bytes: Uint8Array }[]): number[] => [...new Set(sent.map(({ bytes }) => u16(bytes, 20)))]
