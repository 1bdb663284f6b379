/** What `tsnat redirect` and `tsnat status` print of a redirector. */
import type { RedirectLine, RedirectStatus } from '../api/types.js'
import { byteText, grouped } from './number-text.js'

/** `tcp, udp by tproxy at 127.0.0.1:1080 to socks5://192.0.2.1:1080` */
export const redirectText = ({ protocols, by, address, port, to }: RedirectStatus): string => `${protocols.join(', ')} by ${by} at ${address}:${port} to ${to}`

const parts = (...texts: readonly (string | false)[]): string => texts.filter((text) => text !== false).join(', ')

/** Its counters, a line for each protocol, and what is wrong. */
export const redirectCounts = ({ protocols, tcp, udp, error }: RedirectStatus): string[] => [
  ...(protocols.includes('tcp')
    ? [`TCP: ${parts(
        `${grouped(tcp.active)} open`, `${grouped(tcp.opened)} relayed`, tcp.failed > 0 && `${grouped(tcp.failed)} failed`, tcp.refused > 0 && `${grouped(tcp.refused)} refused`,
        tcp.broken > 0 && `${grouped(tcp.broken)} broken off`, `sent ${byteText(tcp.sent)}`, `received ${byteText(tcp.received)}`,
      )}`]
    : []),
  ...(protocols.includes('udp')
    ? [`UDP: ${parts(
        `${grouped(udp.active)} associations`, `${grouped(udp.opened)} opened`, udp.failed > 0 && `${grouped(udp.failed)} failed`, udp.displaced > 0 && `${grouped(udp.displaced)} displaced`,
        `sent ${grouped(udp.sent)} datagrams`, `received ${grouped(udp.received)}`, udp.dropped > 0 && `dropped ${grouped(udp.dropped)}`,
      )}`]
    : []),
  ...(error === null ? [] : [`the upstream cannot be used: ${error}`]),
]

/** @param time milliseconds since 1970 */
export const redirectLineText = (line: RedirectLine, time: number): string => {
  const clock = new Date(time).toISOString().slice(11, 19)
  if (line.type === 'started') return `${clock}  redirecting ${redirectText(line)}\n`
  if (line.type === 'ended') return `${clock}  ended\n${redirectCounts(line).map((text) => `          ${text}\n`).join('')}`
  return redirectCounts(line).map((text, index) => `${index === 0 ? clock : ' '.repeat(8)}  ${text}\n`).join('')
}
