/** Forgets flows that were idle for longer than their class allows. */
import type { FlowTable } from './flow-table.js'
import { FLOW_SEEN, FLOW_WORDS } from './flow-table.js'

/**
 * Closes at most `budget` expired flows, the oldest of each class first.
 * @param timeouts idle seconds by class
 * @param now seconds, on the clock that `touch` is given
 * @returns how many were closed
 */
export const expire = (table: FlowTable, timeouts: Int32Array, now: number, budget: number): number => {
  let closed = 0
  for (let timeoutClass = 0; timeoutClass < timeouts.length; timeoutClass++) {
    while (closed < budget) {
      const flow = table.oldest(timeoutClass)
      if (flow < 0 || now - table.flows[flow * FLOW_WORDS + FLOW_SEEN]! < timeouts[timeoutClass]!) break
      table.close(flow)
      table.countExpired()
      closed++
    }
  }
  return closed
}
