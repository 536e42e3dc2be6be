-- Without `ticket`'s lease or claim, or its place in the queue; whether there was one.
local function leave(ticket)
  if lock.ticket == ticket then
    if lock.lease ~= CLAIM then
      lock.released = ticket
    end
    hand_over()
    return true
  end
  local at = place_in_queue(ticket)
  if at then
    lock.queue = sub(lock.queue, 1, at - 1) .. sub(lock.queue, at + WAITER_SIZE)
  end
  return at ~= nil
end
