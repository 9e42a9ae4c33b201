import threading

from outlast import Request, handler


@handler(methods=["POST"])
def blocking(request: Request) -> dict[str, bool]:
    if request.body == b"raise":
        raise ValueError("the password is hunter2")
    return {"in_main_thread": threading.current_thread() is threading.main_thread()}
