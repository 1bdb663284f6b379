/**
 * What a rule of table nat asks for a new flow, worked out for its packet. One object each for destination and source, filled anew.
 *
 * Of a range of addresses a flow gets one by its own addresses, so that a host has the same one each time; with --persistent whatever
 * the remote (that is the kernel's difference too: nf_nat_core.c has find_best_ips_proto).
 */
import { hashWords } from '../nat/hash-index.js'
import type { AskedPorts } from '../nat/choose-endpoint.js'
import { type NatAction, netmapAddress } from '../policy/engine/nat-action.js'
import { hasPorts, type Packet } from '../stack/parse.js'
import { below, type RandomSource } from '../stack/random.js'

/** An address of the range. */
const pickAddress = ({ firstAddress, lastAddress, persistent }: NatAction, seed: number, source: number, destination: number): number => {
  const size = (lastAddress - firstAddress) >>> 0
  if (size === 0) return firstAddress
  const hash = hashWords(seed, source, persistent ? 0 : destination, 0, 0) >>> 0
  // Without the sign, and without overflow for ranges of 2^32.
  return (firstAddress + Math.floor((hash / 0x100000000) * (size + 1))) | 0
}

/** DNAT, REDIRECT, and NETMAP before routing. */
export class DestinationRequest {
  address = 0
  port = 0
  readonly #seed: number
  readonly #random: RandomSource

  constructor(random: RandomSource) {
    this.#seed = random.next() | 0
    this.#random = random
  }

  /** @param own address of the interface that the packet came by, for REDIRECT */
  fill(action: NatAction, packet: Packet, own: number): void {
    const port = packet.ports & 0xffff
    this.port = port
    switch (action.kind) {
      case 'NETMAP':
        this.address = netmapAddress(action, packet.destination)
        return
      case 'REDIRECT':
        this.address = own
        break
      default:
        this.address = action.hasAddresses ? pickAddress(action, this.#seed, packet.source, packet.destination) : packet.destination
    }
    if (action.hasPorts && hasPorts(packet.protocol)) this.port = this.#pickPort(action, port)
  }

  #pickPort({ firstPort, lastPort, basePort, random, randomFully }: NatAction, port: number): number {
    const size = lastPort - firstPort + 1
    if (basePort >= 0) return firstPort + (((port - basePort) & 0xffff) % size)
    if (random || randomFully) return firstPort + (size === 1 ? 0 : below(this.#random, size))
    return port >= firstPort && port <= lastPort ? port : firstPort
  }
}

/** SNAT, MASQUERADE, and NETMAP after routing. */
export class SourceRequest implements AskedPorts {
  /** The address stays: nothing was asked, and nothing is chosen. */
  isNone = true
  /** int32; 0: that of the way out */
  address = 0
  first = 0
  last = 0
  isRandom = false
  readonly #seed: number

  constructor(random: RandomSource) {
    this.#seed = random.next() | 0
  }

  clear(): void {
    this.isNone = true
    this.address = 0
    this.first = this.last = 0
    this.isRandom = false
  }

  /** @param destination where the packet goes by now */
  fill(action: NatAction, packet: Packet, destination: number): void {
    this.clear()
    this.isNone = false
    if (action.kind === 'NETMAP') {
      this.address = netmapAddress(action, packet.source)
      return
    }
    if (action.hasAddresses) this.address = pickAddress(action, this.#seed, packet.source, destination)
    else if (action.kind === 'SNAT') this.address = packet.source
    this.isRandom = action.random || action.randomFully
    if (action.hasPorts && hasPorts(packet.protocol)) {
      this.first = action.firstPort
      this.last = action.lastPort
    }
  }
}
