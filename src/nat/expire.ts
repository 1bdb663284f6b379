/** Forgets flows: those idle for longer than their class allows, and those whose external address is gone. */
import { FLOW_SEEN, FLOW_WORDS, type FlowTable, SIDE_DESTINATION, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'
import { nextClass } from './tcp-idle.js'

/**
 * Closes at most `budget` expired flows, the oldest of each class first; one that its list lets go too early moves on to another
 * (tcp-idle.ts). Times are whole seconds, cut off, so a flow goes when the difference is above its timeout: never early, and at most
 * two seconds late.
 * @param timeouts idle seconds by class
 * @param now seconds, on the clock that `touch` is given
 * @returns how many were closed or moved
 */
export const expire = (table: FlowTable, timeouts: Int32Array, now: number, budget: number): number => {
  const { flows } = table
  let done = 0
  for (let timeoutClass = 0; timeoutClass < timeouts.length; timeoutClass++) {
    while (done < budget) {
      const flow = table.oldest(timeoutClass)
      const at = flow * FLOW_WORDS
      if (flow < 0 || now - flows[at + FLOW_SEEN]! <= timeouts[timeoutClass]!) break
      const next = nextClass(flows, at, timeouts)
      if (next >= 0) {
        table.setClass(flow, next, flows[at + FLOW_SEEN]!)
      } else {
        table.close(flow)
        table.countExpired()
      }
      done++
    }
  }
  return done
}

/** Closes the flows whose external address is not among `addresses`. Returns how many. */
export const closeAddressesExcept = (table: FlowTable, addresses: ReadonlySet<number>): number => {
  let closed = 0
  for (let flow = 0; flow < table.used; flow++) {
    // The outside endpoint is where packets of the side opposite to the inside host's are addressed to.
    const side = table.zoneOf(flow * 2) === ZONE_INSIDE ? flow * 2 + 1 : flow * 2
    if (table.isLive(flow) && !addresses.has(table.sides[side * SIDE_WORDS + SIDE_DESTINATION]!)) {
      table.close(flow)
      closed++
    }
  }
  return closed
}
