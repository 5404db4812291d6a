/** Which requests copy the content of a lower file up before they are answered. */

import { O_ACCMODE, O_RDONLY, O_TRUNC, S_IFREG } from "../../src/sys/file.ts";
import { FATTR, OP } from "../protocol/constants.ts";
import type { Request } from "../protocol/request.ts";
import type { Node } from "../union/node.ts";
import type { Union } from "../union/union.ts";

/** The lower file of `fromBytes` or more that the request copies up, unless it is prepared; null if none. @throws MalformedRequest */
export function nodeToCopy(union: Union, request: Request, fromBytes: number): Node | null {
  if (union.upper === null || union.options.readOnly) return null;
  const node = changedNode(union, request);
  if (node === undefined || node.upper || node.type !== S_IFREG || union.prepared.has(node)) return null;
  return node.lowerBytes >= fromBytes ? node : null;
}

/** The node that a request changes, if that takes all of its content. */
function changedNode({ nodes }: Union, request: Request): Node | undefined {
  switch (request.opcode) {
    case OP.open: {
      const flags = request.u32(0);
      return (flags & O_ACCMODE) === O_RDONLY || (flags & O_TRUNC) !== 0 ? undefined : nodes.get(request.nodeId);
    }
    case OP.setattr: {
      const node = nodes.get(request.nodeId);
      const isEmptied = (request.u32(0) & FATTR.size) !== 0 && request.u64(16) === 0;
      return isEmptied && node?.opens === 0 ? undefined : node;
    }
    case OP.setxattr:
    case OP.removexattr:
    case OP.write:
    case OP.fallocate:
      return nodes.get(request.nodeId);
    case OP.copyFileRange:
      return nodes.get(request.u64(16));
    case OP.link:
      return nodes.get(request.u64(0));
    case OP.rename:
      return nodes.get(request.nodeId)?.children?.get(request.name(8));
    case OP.rename2:
      return nodes.get(request.nodeId)?.children?.get(request.name(16));
    default:
      return undefined;
  }
}
