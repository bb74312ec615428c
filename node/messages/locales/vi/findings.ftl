### Điểm bất thường trong dữ liệu cần người vận hành xử lý: đó là gì và cần làm gì.

finding-origin_stopped = nguồn { $origin } đã bị dừng tiếp nhận tại lô { $seq }: { $reason }; hãy chạy `kho verify`, sau đó `kho origin resume`
finding-proof_failed = bản ghi của nguồn { $origin } trên đĩa của nút này không khớp với mã đối chiếu và số liệu lưu kèm tại lô { $seq }, phát hiện lúc { $found_at }; hãy chạy lại `kho verify`
finding-evidence_kept = đang lưu { $pieces } chứng cứ về nguồn { $origin }, chứng cứ đầu tiên ở lô { $first_seq }; hãy xem bằng lệnh `kho fork list`
finding-refused_bytes_kept = { $files } đoạn bị từ chối ({ $bytes } byte) đang được lưu trong { $folder }; hãy xem xét các tệp này rồi chuyển đi nơi khác
finding-watermark_ahead = mốc đầy đủ của nguồn { $origin } là { $up_to }, thời điểm này chưa đến: đồng hồ của máy này chậm, hoặc trước đây một đồng hồ của điểm kho đã chạy nhanh. Hãy chỉnh lại đồng hồ; nếu đồng hồ đã đúng, hãy chạy `kho site confirm-time`
