/**
 * A gateway with sockets of its own, a client inside and a server outside, all three real stacks, by one clock that stands still until it is
 * moved. Gateway and its sockets are joined by the rings that join their threads otherwise.
 */
import { numberOfZone, ZONE_LAN } from '../../src/attachment.js'
import { RingNetwork } from '../../src/control/ring-network.js'
import { Origin, RouteType, Scope, Table } from '../../src/route/types.js'
import { createSocketRings } from '../../src/socket-ring.js'
import { SocketPort } from '../../src/socket-port.js'
import { MemoryDevice } from '../../src/stack/device/memory.js'
import { DeviceHost } from '../../src/stack/sockets/device-host.js'
import { SocketTable } from '../../src/stack/sockets/socket-table.js'
import { Stack } from '../../src/stack/sockets/stack.js'
import { maskOf, parseIpv4 } from '../../src/stack/wire/address.js'
import { MemoryGateway, type MemoryGatewayOptions, seededRandom } from '../../src/testing/memory-gateway.js'

export interface StackedGatewayOptions extends Omit<MemoryGatewayOptions, 'sockets' | 'openDelivery'> {
  /** Default 10.0.0.2/24. */
  client?: string
  /** Default 198.51.100.10/24. */
  server?: string
}

const SOCKETS = 256
const MTU = 1500
/** Rounds after which what still goes on will not end by itself. */
const ROUNDS = 10_000

export class StackedGateway {
  readonly gateway: MemoryGateway
  /** The gateway's own sockets. */
  readonly stack: Stack
  readonly client: DeviceHost
  readonly server: DeviceHost
  readonly #clientDevice = new MemoryDevice({ name: 'client' })
  readonly #serverDevice = new MemoryDevice({ name: 'server' })
  readonly #network: RingNetwork
  #port!: SocketPort

  constructor(options: StackedGatewayOptions = {}) {
    const { client = '10.0.0.2/24', server = '198.51.100.10/24', lanAddress = '10.0.0.1', wanAddresses = ['203.0.113.1'] } = options
    const rings = createSocketRings()
    const table = SocketTable.allocate(SOCKETS)
    this.gateway = new MemoryGateway({
      ...options, sockets: table,
      openDelivery: (slab, region) => (this.#port = new SocketPort(rings, slab, region)),
    })
    const own = new Set([lanAddress, ...wanAddresses].map((address) => parseIpv4(address)!))
    this.#network = new RingNetwork({ rings, mtu: () => MTU, addresses: () => own, broadcasts: () => new Set(), signal: () => {} })
    this.#routeInside(client)
    const now = this.gateway.now
    this.stack = new Stack({ network: this.#network, now, random: seededRandom(2), table, answersPings: false })
    this.client = new DeviceHost({ device: this.#clientDevice, addresses: [client], mtu: MTU, now, random: seededRandom(3), capacity: SOCKETS })
    this.server = new DeviceHost({ device: this.#serverDevice, addresses: [server], mtu: MTU, now, random: seededRandom(4), capacity: SOCKETS })
  }

  /** Routes lead to the client's network by the LAN, as the control plane makes it. */
  #routeInside(client: string): void {
    const [address = '', length = ''] = client.split('/')
    const hops = [{ gateway: null, device: numberOfZone(ZONE_LAN), weight: 1, onlink: false, ownGateway: false }]
    const route = { type: RouteType.unicast, tos: 0, metric: 0, scope: Scope.link, origin: Origin.kernel, source: 0, mtu: 0, mtuLocked: false, hops }
    const destination = parseIpv4(address)! & maskOf(Number(length))
    const prefix = { table: Table.main, destination, length: Number(length), routes: [route] }
    this.gateway.plane.policy.handle({ type: 'routing', update: { routes: [prefix], rules: null, interfaces: null } })
  }

  /**
   * Lets packets go their ways until none is left.
   * @throws Error when that does not end
   */
  run(): this {
    for (let round = 0; round < ROUNDS; round++) if (!this.#step()) return this
    throw new Error('packets go round and round')
  }

  /** Moves the clock on, and lets happen what is due. */
  advance(seconds: number): this {
    this.gateway.advance(seconds)
    for (const stack of [this.stack, this.client, this.server]) stack.advance(this.gateway.now)
    return this.run()
  }

  close(): void {
    this.#network.close()
  }

  /** Returns whether anything moved. */
  #step(): boolean {
    const { gateway, client, server } = this
    const { own, pipeline } = gateway.plane
    let moved = client.pump() + server.pump()
    for (const [device, arrive] of [[this.#clientDevice, gateway.fromLan], [this.#serverDevice, gateway.fromWan]] as const) {
      for (const { bytes, vnet } of device.takeSent()) {
        arrive.call(gateway, bytes, vnet)
        moved++
      }
    }
    this.#network.pump()
    this.#port.take((at, length, socket) => {
      own!.send(at, length, socket)
      moved++
    })
    pipeline.flush()
    for (const { bytes, vnet } of gateway.toLan()) this.#clientDevice.push(bytes, vnet)
    for (const { bytes, vnet } of gateway.toWan()) this.#serverDevice.push(bytes, vnet)
    return moved + this.#clientDevice.pending + this.#serverDevice.pending > 0
  }
}
