/** Forgets flows: those idle for longer than their class allows, and those whose external address is gone. */
import { FLOW_SEEN, FLOW_WORDS, type FlowTable, SIDE_DESTINATION, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'

/**
 * Closes at most `budget` expired flows, the oldest of each class first. Times are whole seconds, cut off, so a flow goes when
 * the difference is above its timeout: never early, and at most two seconds late.
 * @param timeouts idle seconds by class
 * @param now seconds, on the clock that `touch` is given
 * @returns how many were closed
 */
export const expire = (table: FlowTable, timeouts: Int32Array, now: number, budget: number): number => {
  let closed = 0
  for (let timeoutClass = 0; timeoutClass < timeouts.length; timeoutClass++) {
    while (closed < budget) {
      const flow = table.oldest(timeoutClass)
      if (flow < 0 || now - table.flows[flow * FLOW_WORDS + FLOW_SEEN]! <= timeouts[timeoutClass]!) break
      table.close(flow)
      table.countExpired()
      closed++
    }
  }
  return closed
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
