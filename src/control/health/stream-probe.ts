/**
 * Connects, and asks for a page (RFC 9110). By sockets of the kernel that are bound to the link and to its address: they use only routes
 * that leave by it, of which there must be one, and ports that the kernel chooses.
 */
import { request } from 'node:http'
import { Socket } from 'node:net'
import { native } from '../../native.js'
import { formatIpv4 } from '../../stack/wire/address.js'
import { probeOf, standingOf } from './standing.js'
import type { CheckTarget } from './target.js'
import type { Clock, Outcome, Probe, ProbeLink } from './types.js'

type TcpTarget = Extract<CheckTarget, { type: 'tcp' }>
type HttpTarget = Extract<CheckTarget, { type: 'http' }>

/** A socket that begins to connect. @throws Missed, or Error with `code` EADDRNOTAVAIL */
const connectBy = (link: ProbeLink, address: number, port: number): Socket => {
  const { ifindex, source } = standingOf(link)
  const fd = link.namespace.run(() => native().streamOpen(ifindex, source))
  return new Socket({ fd }).connect({ host: formatIpv4(address), port })
}

/** Waits for what `begin` settles; when the time is over, that is a miss. The socket is closed then. */
const untilAborted = async (
  socket: Socket,
  signal: AbortSignal,
  late: () => string,
  begin: (resolve: (outcome: Outcome) => void, reject: (error: unknown) => void) => void,
): Promise<Outcome> => {
  let aborted = (): void => {}
  try {
    return await new Promise<Outcome>((resolve, reject) => {
      aborted = () => resolve({ missed: late() })
      signal.addEventListener('abort', aborted)
      socket.on('error', reject)
      begin(resolve, reject)
    })
  } finally {
    signal.removeEventListener('abort', aborted)
    socket.destroy()
  }
}

export const tcpProbe = (link: ProbeLink, { address, port }: TcpTarget, clock: Clock): Probe => {
  const target = `${formatIpv4(address)}:${port}`
  return probeOf(target, async (signal) => {
    const started = clock()
    const socket = connectBy(link, address, port)
    return await untilAborted(socket, signal, () => `no answer from ${target}`, (resolve) => {
      socket.on('connect', () => resolve({ milliseconds: clock() - started }))
    })
  })
}

const isExpected = (status: number, expect: number | null): boolean => (expect === null ? status >= 200 && status < 400 : status === expect)

export const httpProbe = (link: ProbeLink, { address, port, host, path, expect }: HttpTarget, clock: Clock): Probe => {
  const target = `http://${host}${path}`
  return probeOf(target, async (signal) => {
    const started = clock()
    const socket = connectBy(link, address, port)
    const late = (): string => (socket.connecting ? `no answer from ${target}` : `no answer from ${target}, which accepted the connection`)
    return await untilAborted(socket, signal, late, (resolve, reject) => {
      const asked = request({ createConnection: () => socket, path, headers: { Host: host, 'User-Agent': 'tsnat', Connection: 'close' } })
      asked.on('error', reject)
      asked.on('response', ({ statusCode = 0 }) => {
        resolve(isExpected(statusCode, expect) ? { milliseconds: clock() - started } : { missed: `${target} answers with status ${statusCode}` })
      })
      asked.end()
    })
  })
}
