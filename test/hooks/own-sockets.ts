/** What tests of the gateway's own sockets share: rows of sockets, routes that lead to the gateway, what a socket sends. */
import { anyRule, defaultRules, type Rule } from '../../src/route/rules.js'
import { Origin, type PrefixRoutes, type RouteInfo, RouteType, Scope } from '../../src/route/types.js'
import { NO_SOCKET } from '../../src/stack/sockets/network.js'
import { SOCKET_FLAG, type SocketRow } from '../../src/stack/sockets/socket-table.js'
import type { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { ip } from '../stack/support.js'

export const TCP = 6
export const UDP = 17

const flagsOf = (names: readonly (keyof typeof SOCKET_FLAG)[]): number => names.reduce((flags, name) => flags | SOCKET_FLAG[name], 0)

/** `address:port`; `*` for any address. */
const end = (text: string | undefined): [address: number, port: number] => {
  if (text === undefined) return [0, 0]
  const [address, port] = text.split(':') as [string, string]
  return [address === '*' ? 0 : ip(address), Number(port)]
}

export interface SocketWish {
  protocol: number
  local: string
  remote?: string
  flags?: readonly (keyof typeof SOCKET_FLAG)[]
  mark?: number
}

/** Opens a socket of the gateway's own: connected if it has a remote end. Returns its row. */
export const open = (gateway: MemoryGateway, { protocol, local, remote, flags = [], mark = 0 }: SocketWish): number => {
  const [localAddress, localPort] = end(local)
  const [remoteAddress, remotePort] = end(remote)
  const kind = remote !== undefined ? SOCKET_FLAG.connected : protocol === TCP ? SOCKET_FLAG.listening : 0
  const row: SocketRow = { protocol, flags: flagsOf(flags) | kind, localAddress, localPort, remoteAddress, remotePort, interface: 0, mark, tos: 0 }
  return gateway.sockets!.add(row)
}

const INTERFACES: readonly (readonly [string, number])[] = [['lo', 1], ['tun0', 2], ['eth0', 3], ['eth1', 4]]

/** A route of type local by this device. */
export const localRoute = (device: number): RouteInfo => ({
  type: RouteType.local, tos: 0, metric: 0, scope: Scope.host, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false,
  hops: [{ gateway: null, device, weight: 1, onlink: false, ownGateway: false }],
})

export const changeRoutes = (gateway: MemoryGateway, routes: readonly PrefixRoutes[], rules: readonly Rule[] = defaultRules()): void =>
  gateway.plane.policy.handle({ type: 'routing', update: { routes, rules, interfaces: INTERFACES } })

/** `ip rule add fwmark MARK/MASK lookup 100`, `ip route add local 0.0.0.0/0 dev DEVICE table 100`. @param device 1: lo */
export const divert = (gateway: MemoryGateway, mark: number, mask: number, device = 1): void =>
  changeRoutes(gateway, [{ table: 100, destination: 0, length: 0, routes: [localRoute(device)] }], [
    { ...anyRule, preference: 100, mark, markMask: mask, table: 100 }, ...defaultRules(),
  ])

/** What leaves into the LAN when a socket sends a packet; null: nothing. */
export const fromSocket = (gateway: MemoryGateway, bytes: Uint8Array): Uint8Array | null => {
  const [sent] = gateway.fromSelf(NO_SOCKET, bytes).toLan()
  return sent === undefined ? null : sent.bytes
}
