/** The table of ss(8). */
import type { SocketInfo } from '../api/socket-types.js'

type Row = readonly [netid: string, state: string, received: string, sent: string, local: string, localPort: string, remote: string, remotePort: string]

const HEADING: Row = ['Netid', 'State', 'Recv-Q', 'Send-Q', 'Local Address', 'Port', 'Peer Address', 'Port']

const row = ({ protocol, state, receiveQueue, sendQueue, local, remote }: SocketInfo): Row => [
  protocol, state, String(receiveQueue), String(sendQueue), local.address, String(local.port), remote?.address ?? '0.0.0.0', remote === null || remote.port === 0 ? '*' : String(remote.port),
]

/** @param withNetid sockets of several protocols are shown @returns lines without their ends */
export const socketLines = (sockets: readonly SocketInfo[], { withNetid, withHeading }: { withNetid: boolean; withHeading: boolean }): string[] => {
  const rows = [...(withHeading ? [HEADING] : []), ...sockets.map(row)]
  const width = (column: number): number => rows.reduce((widest, cells) => Math.max(widest, cells[column]!.length), 0)
  const widths = HEADING.map((_, column) => width(column))
  const left = (cells: Row, column: number): string => cells[column]!.padEnd(widths[column]!)
  const right = (cells: Row, column: number): string => cells[column]!.padStart(widths[column]!)
  return rows.map((cells) => [
    ...(withNetid ? [left(cells, 0)] : []), left(cells, 1), left(cells, 2), left(cells, 3), `${right(cells, 4)}:${left(cells, 5)}`, `${right(cells, 6)}:${left(cells, 7)}`,
  ].join(' ').trimEnd())
}
