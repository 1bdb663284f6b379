/** Gateways of a given behaviour, and the few packets that tell behaviours apart. */
import type { Behaviour } from '../src/nat/behaviour.js'
import { SYN } from '../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildTcp, buildUdp } from '../src/testing/packets.js'
import { E, only, to, u16 } from './stack/support.js'

/** Default: what the configuration has as default. */
export const behaving = (
  { mapping = 'endpoint-independent', filtering = 'address-dependent' }: Partial<Behaviour> = {}, options: MemoryGatewayOptions = {},
): MemoryGateway => {
  const behaviour = { mapping, filtering }
  return new MemoryGateway({ behaviours: { tcp: behaviour, udp: behaviour, icmp: behaviour }, ...options })
}

export interface End {
  readonly address: string
  readonly port: number
}
export const end = (address: string, port: number): End => ({ address, port })

export type Protocol = 'tcp' | 'udp'
/** A first packet: a UDP datagram or a SYN, or a segment with other flags. */
export const packet = (protocol: Protocol, source: End, destination: End, flags = SYN, payload: Uint8Array = new Uint8Array(0)): Uint8Array => {
  const ends = { source: source.address, sourcePort: source.port, destination: destination.address, destinationPort: destination.port, payload }
  return protocol === 'tcp' ? buildTcp({ ...ends, flags }) : buildUdp(ends)
}

/** Sends a first packet outwards. The external port that it leaves from. */
export const leave = (gateway: MemoryGateway, protocol: Protocol, source: End, destination: End): number => {
  gateway.fromLan(packet(protocol, source, destination))
  const out = only(gateway.toWan())
  if (to(out) !== `${destination.address}:${destination.port}`) throw new Error(`went to ${to(out)}`)
  return u16(out, 20)
}

/** Sends a first packet inwards. Where it arrives, or null. */
export const enter = (gateway: MemoryGateway, protocol: Protocol, source: End, port: number, address = E): string | null => {
  gateway.fromWan(packet(protocol, source, end(address, port)))
  const sent = gateway.toLan()
  return sent.length === 0 ? null : to(only(sent))
}
