/** The events of a gateway in memory, as the control socket would tell them. */
import type { EventRequest, FlowEvent } from '../src/api/types.js'
import { FLOW_EVENT_TYPES } from '../src/api/types.js'
import { formatConntrackEvent } from '../src/api/conntrack.js'
import { EventHub } from '../src/control/event-hub.js'
import { EventStreams } from '../src/control/event-stream.js'
import { timeoutColumn } from '../src/nat/timeouts.js'
import { behaviourOf, type MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'

export const streamsOf = (gateway: MemoryGateway, options: MemoryGatewayOptions = {}) => {
  const hub = new EventHub(gateway.eventRing)
  const { timeouts, limits } = behaviourOf(options)
  return { hub, streams: new EventStreams({ hub, timeouts: timeoutColumn(timeouts), capacity: limits.flows, wallTime: (time) => time }) }
}

export const collect = async (stream: AsyncIterable<FlowEvent[]>): Promise<FlowEvent[]> => {
  const all: FlowEvent[] = []
  for await (const batch of stream) all.push(...batch)
  return all
}

/** Listens from now on; what is returned ends that and gives all that was heard. */
export const follow = (gateway: MemoryGateway, options: MemoryGatewayOptions = {}, request: Partial<EventRequest> = {}): (() => Promise<FlowEvent[]>) => {
  const abort = new AbortController()
  const stream = streamsOf(gateway, options).streams.open({ filter: {}, types: FLOW_EVENT_TYPES, ...request }, abort.signal)
  return () => {
    abort.abort()
    return collect(stream)
  }
}

/** As `conntrack -E` prints them. */
export const printed = (events: readonly FlowEvent[]): string[] =>
  events.map((event) => (event.type === 'lost' ? `lost ${event.count}` : formatConntrackEvent(event)))
