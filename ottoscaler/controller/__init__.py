"""The stages of an event, one thread each: read, take, dispatch, hand over, and look after."""
