-- Nothing is written where payloads cannot be: this fails unless both are hashes, or not there.
call('HGET', PAYLOADS[A], '')
call('HGET', PAYLOADS[F], '')
