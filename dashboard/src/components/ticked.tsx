// A sentence of the server in which `code` stands between backticks.

export function Ticked({ text }: { text: string }) {
  return text.split('`').map((part, index) =>
    index % 2 === 1 ? (
      // Parts of one sentence have no identity but their place.
      // oxlint-disable-next-line react/no-array-index-key
      <code key={index} className="text-sm break-all">
        {part}
      </code>
    ) : (
      part
    ),
  )
}
