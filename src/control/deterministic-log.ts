/**
 * The log of deterministic NAT (RFC 7422 4): what has to be kept to tell later who had a port, at the start (which is when it
 * may have changed) and once a day, so that none gets lost when logs are rotated.
 */
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { deterministicPlan } from './outside-plan.js'

const DAY = 86_400_000

/** Begins to log, when deterministic NAT is configured. @returns ends it */
export const logDeterministic = (config: Pick<Config, 'wans' | 'nat'>, log: Logger): (() => void) => {
  const plan = deterministicPlan(config)
  if (plan === null) return () => {}
  const say = (): void => log.info({ deterministic: plan.record(new Date()) }, 'deterministic NAT')
  say()
  const timer = setInterval(say, DAY).unref()
  return () => clearInterval(timer)
}
