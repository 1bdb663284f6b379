/** Forgets flows: those idle for longer than their class allows, and those whose external address is gone. */
import { nextClass } from './tcp-idle.js'
import { FLOW_SEEN, FLOW_WORDS, type FlowTable, SIDE_DESTINATION, SIDE_SOURCE, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'

/** No flow outlives its time. */
const nothingKept = (): boolean => false

/**
 * Closes at most `budget` expired flows, the oldest of each class first; one that its list lets go too early moves on to another
 * (tcp-idle.ts). Times are whole seconds, cut off, so a flow goes when the difference is above its timeout: never early, and at most
 * two seconds late.
 * @param timeouts idle seconds by class
 * @param now seconds, on the clock that `touch` is given
 * @param isKept whether a flow must stay all the same, as if it had been used now
 * @returns how many were closed or moved
 */
export const expire = (
  table: FlowTable, timeouts: Int32Array, now: number, budget: number, isKept: (flow: number, now: number) => boolean = nothingKept,
): number => {
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
      } else if (isKept(flow, now)) {
        table.touch(flow, now)
        continue
      } else {
        table.close(flow)
        table.countExpired()
      }
      done++
    }
  }
  return done
}

/** Closes the flows whose external address is one of `addresses`, which are gone. Returns how many. */
export const closeAddresses = (table: FlowTable, addresses: ReadonlySet<number>): number => {
  let closed = 0
  if (addresses.size === 0) return closed
  for (let flow = 0; flow < table.used; flow++) {
    if (table.isLive(flow) && hasOutsideAddress(table, flow, addresses)) {
      table.close(flow)
      closed++
    }
  }
  return closed
}

/** Whether the outside endpoint of a flow is at one of these addresses, and is not the inside endpoint itself (not translated). */
const hasOutsideAddress = (table: FlowTable, flow: number, addresses: ReadonlySet<number>): boolean => {
  // It is where packets of the side opposite to the inside host's are addressed to.
  const side = table.zoneOf(flow * 2) === ZONE_INSIDE ? flow * 2 + 1 : flow * 2
  const outside = table.sides[side * SIDE_WORDS + SIDE_DESTINATION]!
  return addresses.has(outside) && outside !== table.sides[(side ^ 1) * SIDE_WORDS + SIDE_SOURCE]
}
