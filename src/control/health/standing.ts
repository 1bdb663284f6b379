/** What the probes have in common: how the link stands at the beginning of an attempt, and why one failed, in words. */
import { networkInterfaces } from 'node:os'
import { parseIpv4 } from '../../stack/wire/address.js'
import type { Outcome, Probe, ProbeLink } from './types.js'

/** Why an attempt failed, in words. */
export class Missed extends Error {}

export interface Standing {
  /** Positive. */
  readonly ifindex: number
  /** int32. */
  readonly source: number
}

/** @throws Missed while the link cannot carry anything */
export const standingOf = (link: ProbeLink): Standing => {
  const ifindex = link.ifindex()
  if (ifindex <= 0) throw new Missed(`there is no interface ${link.name}`)
  const source = link.source()
  if (source === null) throw new Missed(`${link.name} has no address`)
  return { ifindex, source }
}

/** The address to ask. @throws Missed when it is the gateway and there is none */
export const targetOf = (link: ProbeLink, address: number | null): number => {
  const target = address ?? link.gateway()
  if (target === null) throw new Missed(`${link.name} has no gateway to ask`)
  return target
}

const inSubnetOf = (link: ProbeLink, address: number): boolean => {
  const entries = link.namespace.run(() => networkInterfaces())[link.name] ?? []
  return entries.some((entry) => {
    const own = parseIpv4(entry.address)
    const mask = parseIpv4(entry.netmask)
    return own !== null && mask !== null && ((own ^ address) & mask) === 0
  })
}

/** The neighbour that packets to `target` go to. Without a gateway everything is on the link. */
export const nextHopOf = (link: ProbeLink, target: number): number => {
  const gateway = link.gateway()
  if (gateway === null || gateway === target) return target
  return (link.isOnLink?.(target) ?? inSubnetOf(link, target)) ? target : gateway
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection is refused',
  ECONNRESET: 'the connection is reset',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ENETDOWN: 'the interface is down',
  ENODEV: 'the interface is gone',
  ENXIO: 'the interface is gone',
  EADDRNOTAVAIL: 'the kernel does not have the source address',
  EPERM: 'not permitted',
  EACCES: 'not permitted',
}

const wordsOf = (error: unknown): string => {
  if (error instanceof Missed) return error.message
  const { code, message } = error as NodeJS.ErrnoException
  return WORDS[code ?? ''] ?? message
}

/** A probe that gives whatever `work` throws as the reason of a miss. */
export const probeOf = (target: string, work: (signal: AbortSignal) => Promise<Outcome>): Probe => ({
  target,
  attempt: async (signal) => {
    try {
      return await work(signal)
    } catch (error) {
      return { missed: error instanceof Missed ? error.message : `${target}: ${wordsOf(error)}` }
    }
  },
})
