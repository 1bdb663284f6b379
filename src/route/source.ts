/** Which of an interface's addresses a masqueraded flow takes. */

/** An address of an interface. Secondary addresses are those the kernel marks IFA_F_SECONDARY. */
export interface InterfaceAddress {
  readonly address: number
  /** The other end of a point-to-point address; absent otherwise. With `prefixLength` it gives the subnet. */
  readonly peer?: number
  readonly prefixLength: number
  readonly primary: boolean
}

const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length))

/**
 * The first primary address whose subnet holds the next hop, else the first primary address, else 0 (none), as the kernel's
 * MASQUERADE chooses. Secondary addresses are never taken.
 */
export const chooseSource = (addresses: readonly InterfaceAddress[], nextHop: number): number => {
  const primaries = addresses.filter(({ primary }) => primary)
  const holding = primaries.find(({ address, peer = address, prefixLength }) => ((peer ^ nextHop) & maskOf(prefixLength)) === 0)
  return (holding ?? primaries[0])?.address ?? 0
}
