/** The probe that a check asks for. */
import { arpProbe } from './arp-probe.js'
import { icmpProbe } from './icmp-probe.js'
import { httpProbe, tcpProbe } from './stream-probe.js'
import { checkTarget } from './target.js'
import type { Clock, HealthCheck, Probe, ProbeLink } from './types.js'

/** @returns null for type none. @throws TsnatError HEALTH_CHECK */
export const createProbe = (link: ProbeLink, check: HealthCheck, clock: Clock): Probe | null => {
  const target = checkTarget(check)
  if (target.type === 'none') return null
  if (target.type === 'arp') return arpProbe(link, target.address, clock)
  if (target.type === 'icmp') return icmpProbe(link, target.address, clock)
  return target.type === 'tcp' ? tcpProbe(link, target, clock) : httpProbe(link, target, clock)
}
