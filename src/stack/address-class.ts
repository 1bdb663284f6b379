/** Addresses that no forwarded packet may carry (RFC 1812 5.3.5, 5.3.7; RFC 1122 3.2.1.3). */

const isLoopbackOrThisNetwork = (address: number): boolean => {
  const network = address >>> 24
  return network === 0 || network === 127
}

/** Multicast, class E and the limited broadcast: 224.0.0.0/3. */
const isMulticastOrReserved = (address: number): boolean => address >>> 29 === 7

/** Never a source: 0/8, 127/8, multicast, 240/4, broadcast. */
export const isInvalidSource = (address: number): boolean => isLoopbackOrThisNetwork(address) || isMulticastOrReserved(address)

/** Never forwarded to: 0/8, 127/8, multicast, 240/4, broadcast. */
export const isInvalidDestination = isInvalidSource
