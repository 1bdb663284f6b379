/** The gateway's own sockets, as ss shows them. */
import type { SocketEnd, SocketInfo, SocketStatus } from '../api/socket-types.js'
import { SOCKET_FLAG, type SocketTable } from '../stack/sockets/socket-table.js'
import type { Stack } from '../stack/sockets/stack.js'
import { formatIpv4 } from '../stack/wire/address.js'
import * as ipv4 from '../stack/wire/ipv4.js'

const NAMES: Readonly<Record<number, SocketInfo['protocol']>> = { [ipv4.PROTOCOL_TCP]: 'tcp', [ipv4.PROTOCOL_UDP]: 'udp', [ipv4.PROTOCOL_ICMP]: 'icmp' }
/** Where ss has other words than the stack. */
const STATES: Readonly<Record<string, string>> = { ESTABLISHED: 'ESTAB', 'SYN-RECEIVED': 'SYN-RECV', UNCONNECTED: 'UNCONN' }

const end = (address: number, port: number): SocketEnd => ({ address: formatIpv4(address), port })

/** All sockets; connections in TIME_WAIT come last. */
export function* listSockets(stack: Pick<Stack, 'table' | 'sockets'>): Generator<SocketInfo> {
  const { table } = stack
  for (const { protocol, state, localAddress, localPort, remoteAddress, remotePort, receiveQueue, sendQueue } of stack.sockets()) {
    yield {
      protocol: NAMES[protocol]!, state: STATES[state] ?? state, receiveQueue, sendQueue,
      local: end(localAddress, localPort), remote: remoteAddress === 0 ? null : end(remoteAddress, remotePort),
    }
  }
  for (let row = 0; row < table.capacity; row++) {
    if (table.protocolOf(row) !== ipv4.PROTOCOL_TCP || (table.flagsOf(row) & SOCKET_FLAG.timeWait) === 0) continue
    yield {
      protocol: 'tcp', state: 'TIME-WAIT', receiveQueue: 0, sendQueue: 0,
      local: end(table.localAddressOf(row), table.localPortOf(row)), remote: end(table.remoteAddressOf(row), table.remotePortOf(row)),
    }
  }
}

export const countSockets = (table: SocketTable): SocketStatus => {
  const counts = { tcp: 0, udp: 0, icmp: 0, timeWait: 0 }
  for (let row = 0; row < table.capacity; row++) {
    const name = NAMES[table.protocolOf(row)]
    if (name !== undefined) counts[(table.flagsOf(row) & SOCKET_FLAG.timeWait) === 0 ? name : 'timeWait']++
  }
  return { count: table.count, limit: table.capacity, ...counts }
}
